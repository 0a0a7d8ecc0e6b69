package job_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
)

func TestCircuitOver(t *testing.T) {
	t.Parallel()
	if got := (job.Circuit{}).Over(job.DefaultCircuit()); got != job.DefaultCircuit() {
		t.Errorf("nothing set: %+v", got)
	}
	all := job.Circuit{Mode: job.Off, Window: 1, MinPushes: 2, FailureRatio: 3, OpenFor: 4, MaxOpen: 5}
	if got := all.Over(job.DefaultCircuit()); got != all {
		t.Errorf("all set: %+v", got)
	}
	long := job.Circuit{OpenFor: job.Duration(time.Hour)}.Over(job.DefaultCircuit())
	if long.MaxOpen != long.OpenFor {
		t.Errorf("max_open is %s with an open_for of %s", long.MaxOpen, long.OpenFor)
	}
}

func TestCircuitOpen(t *testing.T) {
	t.Parallel()
	c := job.DefaultCircuit()
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute}
	for i, want := range want {
		if got := c.Open(i + 1); got != want {
			t.Errorf("opened %d times: open for %s, want %s", i+1, got, want)
		}
	}
	if got := c.Open(math.MaxInt); got != 5*time.Minute {
		t.Errorf("opened for ever: %s", got)
	}
	c.MaxOpen = c.OpenFor
	if got := c.Open(3); got != 30*time.Second {
		t.Errorf("with no room to grow: %s", got)
	}
}

func TestProtectionValidate(t *testing.T) {
	t.Parallel()
	const ms, hour, day = job.Duration(time.Millisecond), job.Duration(time.Hour), job.Duration(24 * time.Hour)
	circuits := []struct {
		circuit job.Circuit
		want    []string
	}{
		{job.Circuit{}, nil},
		{job.DefaultCircuit(), nil},
		{job.Circuit{Mode: job.On, Window: 1000 * ms, MinPushes: 1, FailureRatio: 0.01, OpenFor: 100 * ms, MaxOpen: 100 * ms}, nil},
		{job.Circuit{Mode: job.Off, Window: hour, MinPushes: 10_000, FailureRatio: 1, OpenFor: hour, MaxOpen: day}, nil},
		{job.Circuit{Mode: "maybe", Window: 999 * ms, MinPushes: -1, FailureRatio: 0.009, OpenFor: 99 * ms, MaxOpen: 99 * ms}, []string{"c.mode", "c.window", "c.min_pushes", "c.failure_ratio", "c.open_for", "c.max_open"}},
		{job.Circuit{Window: hour + 1, MinPushes: 10_001, FailureRatio: math.NaN(), OpenFor: hour + 1, MaxOpen: day + 1}, []string{"c.window", "c.min_pushes", "c.failure_ratio", "c.open_for", "c.max_open"}},
		{job.Circuit{FailureRatio: 1.01}, []string{"c.failure_ratio"}},
		{job.Circuit{FailureRatio: -1}, []string{"c.failure_ratio"}},
		{job.Circuit{OpenFor: hour, MaxOpen: hour - 1}, []string{"c.max_open"}},
		{job.Circuit{MaxOpen: 29_999 * ms}, []string{"c.max_open"}},
	}
	for _, test := range circuits {
		if diff := cmp.Diff(test.want, fieldsOf(test.circuit.Validate("c."))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.circuit, diff)
		}
	}
	pauses := []struct {
		pause job.AutoPause
		want  []string
	}{
		{job.AutoPause{}, nil},
		{job.DefaultAutoPause(), nil},
		{job.AutoPause{Mode: job.Off, After: 30 * day, MinAttempts: 1_000_000}, nil},
		{job.AutoPause{Mode: "ON", After: 59_999 * ms, MinAttempts: -1}, []string{"p.mode", "p.after", "p.min_attempts"}},
		{job.AutoPause{After: 30*day + 1, MinAttempts: 1_000_001}, []string{"p.after", "p.min_attempts"}},
	}
	for _, test := range pauses {
		if diff := cmp.Diff(test.want, fieldsOf(test.pause.Validate("p."))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.pause, diff)
		}
	}
	set := job.AutoPause{Mode: job.Off, MinAttempts: 3}.Over(job.DefaultAutoPause())
	if want := (job.AutoPause{Mode: job.Off, After: day, MinAttempts: 3}); set != want {
		t.Errorf("some set: %+v", set)
	}
}

func fieldsOf(errs []job.FieldError) (fields []string) {
	for _, e := range errs {
		fields = append(fields, e.Field)
	}
	return fields
}
