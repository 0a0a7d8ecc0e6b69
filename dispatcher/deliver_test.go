package dispatcher

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// What a former owner has sent and not delivered, also to the shard itself, is
// delivered by the next one.
func TestOutboxIsDeliveredAfterRecovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t, 4), func(http.ResponseWriter, *http.Request, int) {})
	ctx := context.Background()
	for shard := range 4 {
		owner, err := w.store.Own(ctx, shard, engine.Nonce{1}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c := &store.Commit{}
		for _, queue := range []string{"q0", "q1", "q2"} {
			for _, nj := range w.jobs(queue, 10) {
				c.Send = append(c.Send, store.Outgoing{Job: nj.Job, Payload: nj.Payload})
			}
		}
		if err := errors.Join(owner.Commit(ctx, c), owner.Release(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.counts().Waiting; n != 0 {
		t.Fatalf("%d jobs have arrived before they are delivered", n)
	}
	w.start()
	w.untilSucceeded(120)
	if jobs, pushes := w.worker.count(); jobs != 120 || pushes != 120 {
		t.Errorf("%d jobs were pushed %d times", jobs, pushes)
	}
}

// The outbox is delivered after a commit that sends, and only after it is durable.
func TestMachineDeliversWhatACommitSends(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := store.New(model.New(1, func() time.Time { return now }))
	owner, err := s.Own(context.Background(), 0, engine.Nonce{1}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(&Config{}, defaultLimits(), owner.NextCommit(), 1, owner)
	if !m.step(now, recovered{}).Deliver {
		t.Error("what the last owner has sent is not delivered")
	}
	for _, sends := range []bool{true, false} {
		m.next.ClaimsDone = []uint64{1}
		if sends {
			m.next.Send = []store.Outgoing{{Job: &job.Job{ID: job.NewID(now, 0)}}}
		}
		m.commit()
		if m.out.Commit == nil || m.step(now).Deliver {
			t.Error("delivered before the commit is durable")
		}
		if got := m.step(now, committed{}).Deliver; got != sends {
			t.Errorf("a commit that sends %v: deliver %v", sends, got)
		}
	}
}
