package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

func TestProtectionFlags(t *testing.T) {
	t.Parallel()
	tests := []struct {
		flags protectionFlags
		want  client.WorkerConfig
		wrong bool
	}{
		{flags: protectionFlags{}},
		{flags: protectionFlags{"off", "off"}, want: client.WorkerConfig{Circuit: &job.Circuit{Mode: job.Off}, AutoPause: &job.AutoPause{Mode: job.Off}}},
		{
			flags: protectionFlags{"min_pushes=20,failure_ratio=0.25,window=2m,open_for=5s,max_open=1m", "after=2d,min_attempts=7"},
			want: client.WorkerConfig{
				Circuit: &job.Circuit{
					Window: job.Duration(2 * time.Minute), MinPushes: 20, FailureRatio: 0.25,
					OpenFor: job.Duration(5 * time.Second), MaxOpen: job.Duration(time.Minute),
				},
				AutoPause: &job.AutoPause{After: job.Duration(48 * time.Hour), MinAttempts: 7},
			},
		},
		{flags: protectionFlags{circuit: "half"}, wrong: true},
		{flags: protectionFlags{circuit: "min_pushes=many"}, wrong: true},
		{flags: protectionFlags{circuit: "min_pushes=1,"}, wrong: true},
		{flags: protectionFlags{autoPause: "window=1m"}, wrong: true},
		{flags: protectionFlags{autoPause: "after=-1s"}, wrong: true},
	}
	for _, test := range tests {
		var got client.WorkerConfig
		err := test.flags.read(&got)
		if (err != nil) != test.wrong {
			t.Errorf("%+v: %v", test.flags, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); err == nil && diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.flags, diff)
		}
	}
}

func TestCircuitsText(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got := circuitsText([]client.QueueCircuit{{Queue: "a", State: "open", Until: now.Add(90 * time.Second)}, {Queue: "b", State: "half_open", Until: now}}, now)
	if want := "a is open, probed in 1m; b is half-open: one push probes it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
