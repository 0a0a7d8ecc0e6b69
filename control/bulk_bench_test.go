package control_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// BenchmarkPurge purges a queue of b.N jobs on disk:
//
//	go test ./control -run - -bench Purge -benchtime 1000000x
func BenchmarkPurge(b *testing.B) {
	e, err := pebble.Open(b.TempDir(), pebble.Options{Shards: 64, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	s := store.New(e)
	guard := push.NewGuard(nil, true)
	client := push.New(push.Options{Guard: guard})
	defer client.Close()
	d := dispatcher.New(dispatcher.Options{Store: s, Push: client})
	c := control.New(control.Options{Store: s, Dispatcher: d, Guard: guard, Pusher: client})
	ctx := control.As(b.Context(), control.Root())
	if _, err := c.Load(ctx); err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := d.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer d.Stop(ctx)
	fill(b, s, "q", b.N)
	b.ResetTimer()
	o, err := c.PurgeQueue(ctx, "q")
	for err == nil && !o.Over() {
		o, err = c.GetOperation(ctx, o.ID, control.MaxWait)
	}
	b.StopTimer()
	if err != nil || o.Done != int64(b.N) || o.Skipped != 0 {
		b.Fatalf("%+v, %v", o, err)
	}
}

// fill enqueues n jobs with payloads of 100 bytes.
func fill(t testing.TB, s *store.Store, queue string, n int) {
	t.Helper()
	const batch = 1000
	payload := make([]byte, 100)
	shard := s.ShardOf(queue)
	for n > 0 {
		now, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		jobs := make([]store.NewJob, min(n, batch))
		for i := range jobs {
			jobs[i] = store.NewJob{Payload: payload, Job: &job.Job{
				ID: job.NewID(now, shard), Queue: queue, Type: "t", Priority: job.Normal, ContentType: "application/json",
				CreatedAt: now.Truncate(time.Millisecond), PayloadSize: len(payload), Status: job.Waiting,
			}}
		}
		if _, err := s.Enqueue(t.Context(), shard, jobs); err != nil {
			t.Fatal(err)
		}
		n -= len(jobs)
	}
}
