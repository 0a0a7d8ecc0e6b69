package bench

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// LimitsOptions are what the limits benchmark is made of; all must be set.
type LimitsOptions struct {
	PairOptions
	// Keys is how many keys the jobs have, on both servers.
	Keys int
	// Concurrency is that of the queue, on both servers.
	Concurrency int
}

// LimitsReport is the result of RunLimits.
type LimitsReport struct {
	Jobs        int      `json:"jobs"`
	Keys        int      `json:"keys"`
	Payload     int      `json:"payload_bytes"`
	Concurrency int      `json:"concurrency"`
	Batch       int      `json:"batch"`
	CPUs        int      `json:"cpus"`
	Go          string   `json:"go"`
	Phases      []Series `json:"phases"`
}

// limitsQueue is the queue of the limits benchmark.
const limitsQueue = "bench-limits"

// RunLimits compares a queue that nothing but its concurrency limits with one that
// has every limit there is, all too high to be reached: what they cost is that
// they are kept account of.
func RunLimits(ctx context.Context, o LimitsOptions) (*LimitsReport, error) {
	place := func(i int) (string, string) { return limitsQueue, "key-" + strconv.Itoa(i%o.Keys) }
	none := &side{name: "no limits", place: place}
	all := &side{name: "all limits", place: place}
	p, err := newPair(ctx, o.PairOptions, none, all)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.limit(ctx, none, client.QueueConfig{Concurrency: o.Concurrency}, client.WorkerConfig{
		Circuit: &job.Circuit{Mode: job.Off}, AutoPause: &job.AutoPause{Mode: job.Off}, Ramp: job.Off,
	}); err != nil {
		return nil, err
	}
	if err := p.limit(ctx, all, client.QueueConfig{
		Concurrency:    o.Concurrency,
		Rate:           &job.Rate{Limit: 100_000, Period: job.Duration(time.Second), Burst: 100_000},
		KeyConcurrency: o.Concurrency, KeyRate: &job.Rate{Limit: 10_000, Period: job.Duration(time.Second), Burst: 10_000},
		MaxPending: 1_000_000_000, MaxBytes: 1 << 40, Retention: &client.Retention{MaxBytes: 1 << 40},
	}, client.WorkerConfig{Concurrency: o.Concurrency, Ramp: job.Off}); err != nil {
		return nil, err
	}
	series, err := p.rounds(ctx)
	return &LimitsReport{
		Jobs: o.Jobs, Keys: o.Keys, Payload: o.Payload, Concurrency: o.Concurrency, Batch: o.Batch,
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Phases: series,
	}, err
}

func (p *pair) limit(ctx context.Context, s *side, q client.QueueConfig, w client.WorkerConfig) error {
	if _, err := s.api.PutQueue(ctx, limitsQueue, q); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return p.register(ctx, s, []string{limitsQueue}, w)
}
