package control

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// An attempt may report in a burst, and then at its rate; another is not held up by it.
// What is kept account of is bounded, and forgotten when it is at rest.
func TestReportPace(t *testing.T) {
	t.Parallel()
	var p reportPace
	now := time.Unix(1000, 0)
	a, b := job.ID{1}, job.ID{2}
	for i := range reportBurst {
		if wait := p.wait(a, 1, now); wait != 0 {
			t.Fatalf("report %d waits %s", i, wait)
		}
	}
	if wait := p.wait(a, 1, now); wait != reportEvery {
		t.Errorf("one more waits %s", wait)
	}
	if p.wait(a, 2, now) != 0 || p.wait(b, 1, now) != 0 {
		t.Error("another attempt waits too")
	}
	now = now.Add(reportEvery)
	if p.wait(a, 1, now) != 0 || p.wait(a, 1, now) == 0 {
		t.Error("after a while one is taken, and no second")
	}
	for i := 3; len(p.rests) < maxPaced; i++ {
		p.wait(job.ID{9}, i, now)
	}
	if wait := p.wait(job.ID{8}, 1, now); wait != time.Second {
		t.Errorf("where there is no more room, one waits %s", wait)
	}
	if p.wait(a, 2, now.Add(reportEvery)) != 0 {
		t.Error("one that is known waits for room")
	}
	if p.wait(job.ID{8}, 1, now.Add(time.Minute)) != 0 || len(p.rests) != 1 {
		t.Errorf("%d are kept account of when all are at rest", len(p.rests))
	}
}
