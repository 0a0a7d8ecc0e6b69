package app_test

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
)

// An operation that a stop interrupts goes on with the next start.
func TestOperationsGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	const jobs = 4000
	dir := t.TempDir()
	s := start(t, config(dir))
	batch := make([]client.NewJob, jobs)
	for i := range batch {
		batch[i] = client.NewJob{Queue: "q", Type: "t"}
	}
	if _, err := s.EnqueueBatch(deadline(t), batch); err != nil {
		t.Fatal(err)
	}
	o, err := s.PurgeQueue(deadline(t), "q")
	if err != nil {
		t.Fatal(err)
	}
	for o.Done == 0 && err == nil {
		o, err = s.Operation(deadline(t), o.ID, 2*time.Millisecond)
	}
	if err != nil || o.Over() {
		t.Fatalf("before the stop: %+v, %v", o, err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, config(dir))
	if o, err = s.WaitOperation(deadline(t), o.ID); err != nil || o.Status != "succeeded" || o.Done != jobs || o.Matched != jobs {
		t.Errorf("after the start: %+v, %v", o, err)
	}
	q, err := s.Queue(deadline(t), "q")
	if err != nil || q.Counts["cancelled"] != jobs || q.Counts["pending"] != 0 {
		t.Errorf("queue %+v, %v", q, err)
	}
}
