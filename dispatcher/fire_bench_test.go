package dispatcher

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// BenchmarkFire is what a schedule costs that fires: from its timer until its job is in
// its lane.
func BenchmarkFire(b *testing.B) {
	w := newWorld(b, memory(b, 64), nil, func(o *Options) { o.Config.Workers = nil })
	ctx := context.Background()
	now, err := w.store.Now(ctx)
	if err != nil {
		b.Fatal(err)
	}
	spec := encoded(&scheduler.Definition{Spec: scheduler.Spec{Every: job.Duration(24 * time.Hour), StartsAt: now}})
	state := scheduler.Begin(now.Add(-time.Second))
	for i := range b.N {
		name := fmt.Sprintf("s%d", i)
		if _, err := w.store.ChangeSchedule(ctx, name, func(*store.Schedule, time.Time) (*store.Schedule, error) {
			return &store.Schedule{
				Name: name, Spec: spec, State: encoded(&state), Next: now, Payload: []byte("{}"),
				Job: &job.Job{Queue: fmt.Sprintf("q%d", i%100), Type: "t", Status: job.Waiting, Priority: job.Normal, PayloadSize: 2},
			}, nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	w.start()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for stored := int64(0); stored < int64(b.N); <-tick.C {
		stored = 0
		for i := range 100 {
			c, err := w.store.Counts(ctx, fmt.Sprintf("q%d", i))
			if err != nil {
				b.Fatal(err)
			}
			stored += c.Waiting
		}
	}
}
