package workertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/worker"
)

// patience is how long a store may take for what it does at once on an idle
// machine.
const patience = 30 * time.Second

// TestSeen holds a worker.Seen against its contract. open returns an empty one, and
// another one on each call.
func TestSeen(t *testing.T, open func(t *testing.T) worker.Seen) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(s *seenTest)
	}{
		{"a job is done once", doneOnce},
		{"a job that failed runs again", released},
		{"a claim is its owner's", owned},
		{"a claim runs out", runsOut},
		{"a claim is kept anew", keptAnew},
		{"what is done is forgotten", forgotten},
		{"of many one gets it", contended},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(&seenTest{t, open(t)})
		})
	}
}

type seenTest struct {
	*testing.T
	store worker.Seen
}

func (t *seenTest) begin(id, owner string, hold time.Duration) worker.SeenState {
	t.Helper()
	state, err := t.store.Begin(t.Context(), id, owner, hold)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func (t *seenTest) want(want worker.SeenState, id, owner string) {
	t.Helper()
	if got := t.begin(id, owner, time.Hour); got != want {
		t.Errorf("%s is told %d of %s, want %d", owner, got, id, want)
	}
}

func (t *seenTest) done(id string, keep time.Duration) {
	t.Helper()
	if err := t.store.Done(t.Context(), id, keep); err != nil {
		t.Fatal(err)
	}
}

func (t *seenTest) release(id, owner string) {
	t.Helper()
	if err := t.store.Release(t.Context(), id, owner); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until owner gets the claim.
func (t *seenTest) eventually(id, owner string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); t.begin(id, owner, time.Hour) != worker.SeenNever; <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the claim does not run out")
		}
	}
}

func doneOnce(t *seenTest) {
	t.want(worker.SeenNever, "job_1", "a")
	t.want(worker.SeenBusy, "job_1", "b")
	t.want(worker.SeenNever, "job_1_r1", "b")
	t.done("job_1", time.Hour)
	for _, owner := range []string{"a", "b"} {
		t.want(worker.SeenDone, "job_1", owner)
	}
	t.done("job_1", time.Hour) // again
	t.done("job_2", time.Hour) // that nobody has claimed
	t.want(worker.SeenDone, "job_2", "a")
	t.want(worker.SeenBusy, "job_1_r1", "a")
}

func released(t *seenTest) {
	t.want(worker.SeenNever, "job_1", "a")
	t.release("job_1", "a")
	t.want(worker.SeenNever, "job_1", "b")
}

func owned(t *seenTest) {
	t.want(worker.SeenNever, "job_1", "a")
	t.release("job_1", "b")
	t.release("job_2", "b")
	t.want(worker.SeenBusy, "job_1", "b")
	t.done("job_1", time.Hour)
	t.release("job_1", "a")
	t.want(worker.SeenDone, "job_1", "b")
}

func runsOut(t *seenTest) {
	if t.begin("job_1", "a", 20*time.Millisecond) != worker.SeenNever {
		t.Fatal("a new job is claimed already")
	}
	t.eventually("job_1", "b")
	t.want(worker.SeenBusy, "job_1", "a")
	t.release("job_1", "a") // it is not a's any more
	t.want(worker.SeenBusy, "job_1", "c")
}

func keptAnew(t *seenTest) {
	const hold = 50 * time.Millisecond
	if t.begin("job_1", "a", hold) != worker.SeenNever {
		t.Fatal("a new job is claimed already")
	}
	t.want(worker.SeenNever, "job_1", "a") // for an hour from now
	after := time.NewTimer(2 * hold)
	<-after.C
	t.want(worker.SeenBusy, "job_1", "b")
}

func forgotten(t *seenTest) {
	t.done("job_1", 20*time.Millisecond)
	t.eventually("job_1", "a")
	t.want(worker.SeenBusy, "job_1", "b")
}

func contended(t *seenTest) {
	const callers = 16
	var wg sync.WaitGroup
	got := make(chan worker.SeenState, callers)
	for i := range callers {
		wg.Go(func() {
			state, err := t.store.Begin(context.WithoutCancel(t.Context()), "job_1", fmt.Sprint(i), time.Hour)
			if err != nil {
				t.Error(err)
			}
			got <- state
		})
	}
	wg.Wait()
	close(got)
	counts := map[worker.SeenState]int{}
	for state := range got {
		counts[state]++
	}
	if counts[worker.SeenNever] != 1 || counts[worker.SeenBusy] != callers-1 {
		t.Errorf("the claim was given %d times", counts[worker.SeenNever])
	}
}
