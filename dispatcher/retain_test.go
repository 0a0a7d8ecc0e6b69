package dispatcher

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// Where what is kept is bounded in bytes, a job that ends has it looked at within
// a second, and elsewhere not before its time.
func TestBytesAreLookedAtSoon(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		retention *store.Retention
		want      time.Duration
	}{
		"bounded":   {&store.Retention{MaxBytes: 1}, trimSoon},
		"unbounded": {&store.Retention{Ages: map[job.Status]time.Duration{job.Dead: time.Hour}}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config("w")
			q := c.DefaultQueue
			q.Retention = test.retention
			c.Queues = map[string]Queue{"q": q}
			f := newFixtureOf(t, c, defaultLimits())
			f.step(recovered{})
			f.rest()
			f.arrive(f.entry())
			f.answered(succeeded)
			f.rest()
			if got := f.m.trimAt.Sub(f.now); got != test.want {
				t.Errorf("it is looked at in %s, want %s", got, test.want)
			}
		})
	}
}

// What was read under rules that have changed since is not removed by them.
func TestChangedRulesAreFollowed(t *testing.T) {
	t.Parallel()
	c := config("w")
	c.Retention = map[job.Status]time.Duration{job.Succeeded: time.Hour}
	f := newFixtureOf(t, c, defaultLimits())
	f.step(recovered{})
	f.rest()
	f.m.onFinishedRead(finishedRead{Trims: []store.Trim{{Job: f.entry(func(j *job.Job) { j.Status = job.Succeeded }).Job}}})
	if len(f.m.next.Trim) != 1 {
		t.Fatal("the job is not to be removed")
	}
	f.step(configured{c})
	f.rest()
	for _, c := range f.commits {
		if len(removed(c)) > 0 {
			t.Error("the job was removed")
		}
	}
	f.empty()
}

func TestTrimmedIsTold(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, config("w"), defaultLimits())
	trim := func(queue string, s job.Status, why store.TrimReason) store.Trim {
		return store.Trim{Job: f.entry(func(j *job.Job) { j.Queue, j.Status = queue, s }).Job, Why: why}
	}
	f.m.onTrimmed([]store.Trim{
		trim("a", job.Dead, store.TrimAge), trim("a", job.Dead, store.TrimAge),
		trim("a", job.Dead, store.TrimBytes), trim("b", job.Succeeded, store.TrimBytes),
	})
	want := []trimmed{{"a", job.Dead, store.TrimAge, 2}, {"a", job.Dead, store.TrimBytes, 1}, {"b", job.Succeeded, store.TrimBytes, 1}}
	if diff := cmp.Diff(want, f.m.out.Trimmed); diff != "" {
		t.Error(diff)
	}
	var totals totals
	for _, tr := range f.m.out.Trimmed {
		totals.trim(tr)
	}
	if totals.trimmedByAge[job.Dead].Load() != 2 || totals.trimmedByBytes[job.Dead].Load() != 1 || totals.trimmedByBytes[job.Succeeded].Load() != 1 {
		t.Error("the totals differ")
	}
}

// Dead jobs that were removed are told of once a minute, and before the shard is
// given up.
func TestTrimLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var l trimLog
	l.tell(log, 3, noon, true)
	l.add(trimmed{"a", job.Succeeded, store.TrimAge, 5}, noon)
	l.tell(log, 3, noon.Add(time.Hour), true)
	if out.Len() > 0 {
		t.Errorf("told of nothing: %s", &out)
	}
	for i := range 12 {
		l.add(trimmed{"q" + string(rune('a'+i)), job.Dead, store.TrimAge, int64(i + 1)}, noon)
	}
	l.add(trimmed{"qa", job.Dead, store.TrimBytes, 100}, noon)
	l.tell(log, 3, noon.Add(time.Minute-1), false)
	if out.Len() > 0 {
		t.Errorf("told too soon: %s", &out)
	}
	l.tell(log, 3, noon.Add(time.Minute), false)
	l.tell(log, 3, noon.Add(time.Hour), true)
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), `level=WARN msg="retention has removed dead jobs" shard=3 jobs=178 queues="qa: 101, ql: 12,`) ||
		!strings.Contains(out.String(), "and 2 more") {
		t.Errorf("%d lines: %s", n, &out)
	}
	l.add(trimmed{"z", job.Dead, store.TrimAge, 1}, noon)
	l.tell(log, 3, noon, true)
	if !strings.Contains(out.String(), `queues="z: 1"`) {
		t.Errorf("not told at the end: %s", &out)
	}
}
