package bench

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// SpreadOptions are what the spread benchmark is made of; all must be set.
type SpreadOptions struct {
	PairOptions
	// Queues and Keys are how many the jobs are spread over; every key is of one
	// queue.
	Queues, Keys int
	// Concurrency is that of the single queue.
	Concurrency int
}

// SpreadReport is the result of RunSpread.
type SpreadReport struct {
	Jobs        int      `json:"jobs"`
	Queues      int      `json:"queues"`
	Keys        int      `json:"keys"`
	Payload     int      `json:"payload_bytes"`
	Concurrency int      `json:"concurrency"`
	Batch       int      `json:"batch"`
	CPUs        int      `json:"cpus"`
	Go          string   `json:"go"`
	Phases      []Series `json:"phases"`
	// Memory is that of both servers after each round; empty where the system
	// does not tell.
	Memory []Memory `json:"memory"`
}

// RunSpread compares one queue without keys with many queues and keys.
func RunSpread(ctx context.Context, o SpreadOptions) (*SpreadReport, error) {
	one := &side{name: "one queue", place: func(int) (string, string) { return spreadQueue(0), "" }}
	many := &side{name: fmt.Sprintf("%d queues, %d keys", o.Queues, o.Keys), place: o.place}
	p, err := newPair(ctx, o.PairOptions, one, many)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if _, err := one.api.PutQueue(ctx, spreadQueue(0), client.QueueConfig{Concurrency: o.Concurrency}); err != nil {
		return nil, err
	}
	names := make([]string, o.Queues)
	for i := range names {
		names[i] = spreadQueue(i)
	}
	if err := p.register(ctx, one, names[:1], client.WorkerConfig{Ramp: job.Off}); err != nil {
		return nil, err
	}
	if err := p.register(ctx, many, names, client.WorkerConfig{Ramp: job.Off}); err != nil {
		return nil, err
	}
	series, err := p.rounds(ctx)
	return &SpreadReport{
		Jobs: o.Jobs, Queues: o.Queues, Keys: o.Keys, Payload: o.Payload, Concurrency: o.Concurrency, Batch: o.Batch,
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Phases: series, Memory: append(one.memory, many.memory...),
	}, err
}

func spreadQueue(i int) string { return "bench-spread-" + strconv.Itoa(i) }

// place spreads jobs over all keys in turn, and the keys over all queues.
func (o *SpreadOptions) place(i int) (queue, key string) {
	k := i % o.Keys
	return spreadQueue(k % o.Queues), "key-" + strconv.Itoa(k)
}
