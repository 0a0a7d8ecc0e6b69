package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// minutely stores a schedule "s" that fires every minute, but is paused, so that only
// what is asked for beside the slots makes runs.
func (n *node) minutely() {
	n.Helper()
	spec := control.ScheduleSpec{Job: control.NewJob{Queue: "q", Type: "t"}}
	spec.Every = job.Duration(time.Minute)
	if _, _, err := n.c.PutSchedule(n.root(), "s", control.Match{}, spec, false); err != nil {
		n.Fatal(err)
	}
	if _, err := n.c.PauseSchedule(n.root(), "s"); err != nil {
		n.Fatal(err)
	}
}

// minutes is a backfill of that many slots.
func minutes(slots int, overlap string) control.Backfill {
	to := time.Now().Truncate(time.Minute)
	return control.Backfill{Schedule: "s", From: to.Add(-time.Duration(slots) * time.Minute), To: to, Overlap: overlap}
}

// slots counts the jobs of queue q by the slot that they are for.
func (n *node) slots() map[time.Time]int {
	n.Helper()
	slots := map[time.Time]int{}
	for q := (control.JobQuery{Queue: "q", Limit: control.MaxPage}); ; {
		list, err := n.c.ListJobs(n.root(), q)
		if err != nil {
			n.Fatal(err)
		}
		for _, j := range list.Jobs {
			if j.Schedule != "s" {
				n.Errorf("a job of schedule %q", j.Schedule)
			}
			slots[j.ScheduledFor]++
		}
		if q.Cursor = list.Cursor; q.Cursor == "" {
			return slots
		}
	}
}

func wanted(b control.Backfill) map[time.Time]int {
	want := map[time.Time]int{}
	for at := b.From; at.Before(b.To); at = at.Add(time.Minute) {
		want[at.UTC()] = 1
	}
	return want
}

// TestBackfillSurvivesACrash: wherever it is stopped, the next life goes on, and each
// slot has one run, and is counted once.
func TestBackfillSurvivesACrash(t *testing.T) {
	t.Parallel()
	const slots = 120 // three steps
	for point := int64(1); point <= 12; point++ {
		if testing.Short() && point%4 != 2 {
			continue
		}
		t.Run(fmt.Sprint(point), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, plain, func(*store.Store) {})
			defer n.close()
			n.minutely()
			n.c.Close()
			g := newGate(n.store, point+2) // 1 and 2 are those of StartBackfill itself
			n.load(through(g))
			b := minutes(slots, "")
			o, err := n.c.StartBackfill(n.root(), b)
			if err != nil {
				t.Fatal(err)
			}
			<-g.at
			if _, err := n.c.StartBackfill(n.root(), b); control.KindOf(err) != control.Conflict {
				t.Errorf("a second one beside it: %v", err)
			}
			n.c.Close() // the first crash
			g = newGate(n.store, point%4+1)
			n.load(through(g))
			select {
			case <-g.at:
			case <-n.ended(o.ID):
			}
			n.c.Close() // the second
			n.load(plain)
			o = n.over(o.ID)
			if o.Status != control.OperationSucceeded || o.Matched != slots || o.Done != slots || o.Skipped != 0 {
				t.Errorf("%+v", o)
			}
			n.arrived(slots)
			if diff := gocmp.Diff(wanted(b), n.slots()); diff != "" {
				t.Errorf("runs by their slots (-want +got):\n%s", diff)
			}
		})
	}
}

// arrived waits until the runs are in their queue.
func (n *node) arrived(runs int64) {
	n.Helper()
	n.until(func() bool {
		counts, err := n.store.Counts(n.root(), "q")
		if err != nil {
			n.Fatal(err)
		}
		return counts.Waiting >= runs
	})
}

func (n *node) until(so func() bool) {
	n.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !so(); <-tick.C {
		if time.Now().After(end) {
			n.Fatal("it has not come to that within a minute")
		}
	}
}

func TestBackfillHeedsOverlap(t *testing.T) {
	t.Parallel()
	for overlap, done := range map[string]int64{scheduler.OverlapAllow: 60, scheduler.OverlapSkip: 1, scheduler.OverlapQueue: 2} {
		t.Run(overlap, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, plain, func(*store.Store) {})
			defer n.close()
			n.minutely()
			counted, err := n.c.CountBackfill(n.root(), minutes(60, overlap))
			if err != nil || counted.Matched != 60 || counted.ID != "" {
				t.Errorf("counted %+v, %v", counted, err)
			}
			o, err := n.c.StartBackfill(n.root(), minutes(60, overlap))
			if err != nil {
				t.Fatal(err)
			}
			if o = n.over(o.ID); o.Status != control.OperationSucceeded || o.Matched != 60 || o.Done != done || o.Skipped != 60-done {
				t.Errorf("%+v; want %d done", o, done)
			}
		})
	}
}

// What runs of a schedule that is deleted comes to its end.
func TestBackfillOfWhatIsDeleted(t *testing.T) {
	t.Parallel()
	n := newNode(t, plain, func(*store.Store) {})
	defer n.close()
	n.minutely()
	n.c.Close()
	g := newGate(n.store, 3)
	n.load(through(g))
	o, err := n.c.StartBackfill(n.root(), minutes(60, ""))
	if err != nil {
		t.Fatal(err)
	}
	<-g.at
	if err := n.c.DeleteSchedule(n.root(), "s", control.Match{}); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	if o = n.over(o.ID); o.Status != control.OperationFailed || o.Error != "the schedule was deleted" {
		t.Errorf("%+v", o)
	}
}

func TestBackfillIsCancelled(t *testing.T) {
	t.Parallel()
	n := newNode(t, plain, func(*store.Store) {})
	defer n.close()
	n.minutely()
	n.c.Close()
	g := newGate(n.store, 4) // the first step was sent
	n.load(through(g))
	o, err := n.c.StartBackfill(n.root(), minutes(1000, ""))
	if err != nil {
		t.Fatal(err)
	}
	<-g.at
	asked := make(chan error, 1)
	go func() {
		_, _, err := n.c.CancelOperation(n.root(), o.ID)
		asked <- err
	}()
	n.until(func() bool { // the wish is stored
		d, err := n.store.GetDocument(n.root(), "operation", o.ID)
		return err != nil || strings.Contains(string(d.Data), "cancel_requested")
	})
	close(g.open)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	if o = n.over(o.ID); o.Status != control.OperationCancelled || o.Matched != 1000 || o.Done >= 1000 {
		t.Errorf("%+v", o)
	}
}

// moves is a store in which the schedule gets another queue just before a command to it
// arrives.
type moves struct{ *store.Store }

func (m moves) Send(ctx context.Context, c store.Command) (uint64, error) {
	_, err := m.ChangeSchedule(ctx, c.Name, func(s *store.Schedule, _ time.Time) (*store.Schedule, error) {
		for q := 'a'; m.ShardOf(s.Job.Queue) == c.Run.Shard(); q++ {
			s.Job.Queue = string(q)
		}
		return s, nil
	})
	if err != nil {
		return 0, err
	}
	return m.Store.Send(ctx, c)
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	n := newNode(t, plain, func(*store.Store) {})
	defer n.close()
	n.minutely()
	for range 3 { // also where it is paused
		done, err := n.c.TriggerSchedule(n.root(), "s")
		if err != nil || done.Requested {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	n.arrived(3)
	list, err := n.c.ScheduleRuns(n.root(), "s", "", 0)
	if err != nil || len(list.Runs) != 3 || list.Runs[0].By != "trigger" || list.Runs[0].Outcome != job.ShownPending {
		t.Errorf("%+v, %v", list, err)
	}
	n.c.Close()
	n.load(func(s *store.Store) control.Store { return moves{s} })
	if done, err := n.c.TriggerSchedule(n.root(), "s"); control.KindOf(err) != control.Conflict {
		t.Errorf("while its queue changes: %+v, %v", done, err)
	}
	if list, err = n.c.ScheduleRuns(n.root(), "s", "", 0); err != nil || len(list.Runs) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}
