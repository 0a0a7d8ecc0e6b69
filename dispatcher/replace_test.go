package dispatcher

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// unique is an entry of a job that is unique until it has ended.
func (f *fixture) unique(change ...func(*job.Job)) *store.Entry {
	e := f.entry(change...)
	e.Job.Unique = (&job.Unique{}).WithDefaults()
	return e
}

// ask asks for a new job in the place of another.
func (f *fixture) ask(holder, n *store.Entry, change func(*store.Command)) {
	f.t.Helper()
	f.seq++
	c := store.Command{Seq: f.seq, Kind: store.CommandReplace, ID: holder.Job.ID, At: f.now, Entry: holder, New: n.Job, Holds: true}
	if change != nil {
		change(&c)
	}
	f.inbox = append(f.inbox, c)
	f.step(inboxGrew{})
}

// TestReplace: what becomes of the one that asks, by the state of the one that holds
// the lock.
func TestReplace(t *testing.T) {
	t.Parallel()
	paused := func(f *fixture) { f.reconfigure(func(c *Config) { c.DefaultQueue.Paused = true }) }
	inTimers := func(f *fixture, change ...func(*job.Job)) *store.Entry {
		e := f.unique(append(change, func(j *job.Job) { j.Due = noon.Add(time.Hour) })...)
		e.Place = store.InTimers
		return e
	}
	tests := map[string]struct {
		holder func(f *fixture) *store.Entry
		change func(*store.Command)
		want   bool
	}{
		"in the window": {func(f *fixture) *store.Entry { paused(f); e := f.unique(); f.arrive(e); return e }, nil, true},
		"in its lane":   {func(f *fixture) *store.Entry { return f.unique() }, nil, true},
		"in the timers": {func(f *fixture) *store.Entry { return inTimers(f) }, nil, true},
		"asked just in time": {
			func(f *fixture) *store.Entry { return f.unique() },
			func(c *store.Command) { c.At = c.At.Add(time.Millisecond - store.MaxReplaceAge) }, true,
		},
		"asked too long ago": {
			func(f *fixture) *store.Entry { return f.unique() },
			func(c *store.Command) { c.At = c.At.Add(-store.MaxReplaceAge) }, false,
		},
		"without the lock": {
			func(f *fixture) *store.Entry { return f.unique() },
			func(c *store.Command) { c.Holds = false }, false,
		},
		"gone": {
			func(f *fixture) *store.Entry { return f.unique() },
			func(c *store.Command) { c.Entry = nil }, false,
		},
		"running":       {func(f *fixture) *store.Entry { e := f.unique(); f.arrive(e); return e }, nil, false},
		"being retried": {func(f *fixture) *store.Entry { return inTimers(f, func(j *job.Job) { j.StartedAt = noon }) }, nil, false},
		"about to be ended": {
			func(f *fixture) *store.Entry {
				e := f.unique()
				f.seq++
				f.inbox = append(f.inbox, store.Command{Seq: f.seq, Kind: store.CommandPurge, ID: e.Job.ID, Entry: e})
				return e
			}, nil, false,
		},
		"ended, with a ttl": {
			func(f *fixture) *store.Entry { return f.unique(func(j *job.Job) { j.Status = job.Succeeded }) }, nil, false,
		},
	}
	for name, tt := range tests {
		f := started(t, config("a"))
		holder := tt.holder(f)
		n := f.unique()
		f.ask(holder, n, tt.change)
		f.rest()
		var replaced, refused []*job.Job
		for _, c := range f.commits {
			replaced, refused = append(replaced, c.Replace...), append(refused, c.Refuse...)
		}
		switch {
		case len(f.inbox) > 0:
			t.Errorf("%s: the command is left in the inbox", name)
		case len(replaced)+len(refused) != 1 || len(replaced) == 1 != tt.want:
			t.Errorf("%s: %d are stored and %d refused", name, len(replaced), len(refused))
		case tt.want:
			if j := f.last(holder.Job.ID); j.Status != job.Cancelled || j.Reason != job.ReasonReplaced || j.Unique.ReplacedBy != n.Job.ID || holder.Job.Unique == j.Unique {
				t.Errorf("%s: the holder is %s, %s, by %s", name, j.Status, j.Reason, j.Unique.ReplacedBy)
			}
		}
	}
}

// Of two that ask at once for the same place one gets it; the other asks again.
func TestReplaceTwice(t *testing.T) {
	t.Parallel()
	f := started(t, config())
	holder := f.unique()
	first, second := f.unique(), f.unique()
	for _, n := range []*store.Entry{first, second} {
		f.seq++
		f.inbox = append(f.inbox, store.Command{Seq: f.seq, Kind: store.CommandReplace, ID: holder.Job.ID, At: f.now, Entry: holder, New: n.Job, Holds: true})
	}
	f.step(inboxGrew{})
	f.rest()
	if c := f.commits[0]; len(c.Replace) != 1 || c.Replace[0] != first.Job || len(c.Refuse) != 1 || c.Refuse[0] != second.Job {
		t.Errorf("replaced %v, refused %v", c.Replace, c.Refuse)
	}
}

// startedForLong is started with a machine that does not wake to sweep.
func startedForLong(t *testing.T, c *Config) *fixture {
	l := defaultLimits()
	l.SweepEvery = 100 * 24 * time.Hour
	f := newFixtureOf(t, c, l)
	f.step(recovered{})
	return f
}

// The machine knows of what a replacement waits for.
func TestReplacementIsServed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*job.Job){
		"ready":   func(*job.Job) {},
		"delayed": func(j *job.Job) { j.Due = noon.Add(time.Minute) },
		"expires": func(j *job.Job) { j.ExpiresAt = noon.Add(time.Minute) },
		"ttl":     func(j *job.Job) { j.Unique.Until, j.Unique.TTL = job.UntilTTL, job.Duration(time.Minute) },
	} {
		f := startedForLong(t, config("a"))
		holder := f.unique(func(j *job.Job) { j.Due = noon.Add(time.Hour) })
		holder.Place = store.InTimers
		n := f.unique()
		change(n.Job)
		if !n.Job.Due.After(n.Job.CreatedAt) {
			f.lanes[store.LaneOf(n.Job)] = append(f.lanes[store.LaneOf(n.Job)], n)
		}
		f.ask(holder, n, nil)
		f.rest()
		if name == "ready" || name == "expires" || name == "ttl" {
			if p := f.pushed(); p.Entry != n {
				t.Errorf("%s: pushed is %s", name, p.Entry.Job.ID)
			}
		}
		if name != "ready" && !f.wake.Equal(noon.Add(time.Minute)) {
			t.Errorf("%s: it wakes at %s", name, f.wake)
		}
	}
}
