package control

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// seen is a dispatcher that has seen a worker succeed.
type seen struct {
	*idle
	success time.Time
}

func (s *seen) WorkerLive(string) dispatcher.WorkerLive {
	return dispatcher.WorkerLive{LastSuccess: s.success}
}

func TestWhoOnlyFailsIsPaused(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	tests := map[string]struct {
		pause   job.AutoPause
		success time.Duration // before the failure
		resumed bool
		paused  bool
	}{
		"no success":                      {success: 1000 * day, paused: true},
		"long ago on another queue":       {success: day, paused: true},
		"just now on another queue":       {success: day - 1},
		"off":                             {pause: job.AutoPause{Mode: job.Off}, success: 1000 * day},
		"not for as long as it may":       {pause: job.AutoPause{After: job.Duration(2 * day)}, success: day},
		"resumed since it began to fail":  {success: 1000 * day, resumed: true},
		"somebody has removed the worker": {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s, _ := newLoaded(t)
			d := &seen{idle: newIdle()}
			c := New(Options{Store: s, Dispatcher: d, Guard: push.NewGuard(nil, true)})
			t.Cleanup(c.Close)
			ctx := root(t)
			spec := DefaultWorker()
			spec.URL, spec.Queues, spec.AutoPause = "http://127.0.0.1:9/x", []string{"a"}, test.pause
			if _, _, err := c.PutWorker(ctx, "w", Match{}, spec); err != nil {
				t.Fatal(err)
			}
			at := time.Now()
			since := at.Add(-1000 * day)
			d.success = at.Add(-test.success)
			if test.resumed {
				if _, err := c.ResumeWorker(ctx, "w"); err != nil {
					t.Fatal(err)
				}
			}
			failing := dispatcher.Failing{Worker: "w", Since: since, Attempts: 20, At: at}
			if test.success == 0 {
				failing.Worker = "other"
			}
			if err := c.pauseAsked(ctx, pauseRequest{name: failing.Worker, failing: failing}); err != nil {
				t.Fatal(err)
			}
			w, err := c.GetWorker(ctx, "w")
			if err != nil || w.Paused != test.paused || (w.PauseReason != "") != test.paused {
				t.Errorf("paused %v (%s), want %v: %v", w.Paused, w.PauseReason, test.paused, err)
			}
		})
	}
}
