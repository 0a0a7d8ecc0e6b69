package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// SchedulesOptions are what the benchmark of schedules is made of; all must be set.
type SchedulesOptions struct {
	// Executable, Dir and Progress are as in Options.
	Executable, Dir string
	Progress        func(phase string, done, all int)
	// Schedules is how many are due at one instant, Queues over how many queues their
	// jobs are spread.
	Schedules, Queues int
	// Rate is how many jobs a second another client enqueues meanwhile, one by one.
	Rate int
	// Quiet is how long the server is measured before the instant.
	Quiet time.Duration
}

// SchedulesReport is the result of RunSchedules.
type SchedulesReport struct {
	Schedules int    `json:"schedules"`
	Queues    int    `json:"queues"`
	Rate      int    `json:"jobs_per_second"`
	CPUs      int    `json:"cpus"`
	Go        string `json:"go"`
	// Created is how long it took to create them.
	Created time.Duration `json:"created_ns"`
	// Idle is the part of a processor that the server used while it waited for them,
	// without other clients.
	Idle float64 `json:"idle_cpus"`
	// Enqueued is when the last of their jobs was stored, after the instant; CPU is what
	// the server used for that.
	Enqueued time.Duration `json:"enqueued_ns"`
	CPU      time.Duration `json:"cpu_ns"`
	// Before and During are the times of the other client's enqueue calls, in the Quiet
	// time before the instant and until the last job was stored. P99Ratio compares them.
	Before   Calls   `json:"before"`
	During   Calls   `json:"during"`
	P99Ratio float64 `json:"p99_ratio"`
	// Memory is the server's; empty where the system does not tell.
	Memory []Memory `json:"memory"`
}

// Calls are the times of enqueue calls.
type Calls struct {
	Calls int           `json:"calls"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
}

const (
	// scheduleCreators is how many create schedules at once.
	scheduleCreators = 32
	// scheduleEach bounds how long it takes to create one, on average.
	scheduleEach = 2 * time.Millisecond
	// firedWait bounds how long the jobs may take.
	firedWait = 10 * time.Minute
	otherJobs = "bench-other-client"
)

// schedulesBench is one such benchmark on its way.
type schedulesBench struct {
	SchedulesOptions
	*server
	at time.Time // when all are due
}

// RunSchedules has many schedules fire at one instant, beside another client.
func RunSchedules(ctx context.Context, o SchedulesOptions) (*SchedulesReport, error) {
	s, err := startServer(ctx, o.Executable, o.Dir)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	b := &schedulesBench{SchedulesOptions: o, server: s}
	r := &SchedulesReport{Schedules: o.Schedules, Queues: o.Queues, Rate: o.Rate, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if r.Created, err = b.create(ctx); err != nil {
		return nil, err
	}
	r.Memory = b.memory("created")
	if r.Idle, err = b.idle(ctx); err != nil {
		return nil, err
	}
	if err := b.fire(ctx, r); err != nil {
		return nil, err
	}
	r.Memory = append(r.Memory, b.memory("fired")...)
	r.P99Ratio = float64(r.During.P99) / float64(max(r.Before.P99, 1))
	return r, nil
}

func (b *schedulesBench) queue(i int) string { return fmt.Sprintf("bench-schedules-%d", i%b.Queues) }

// create creates the schedules, all due at one instant, which leaves time for that and
// for what is measured before.
func (b *schedulesBench) create(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	b.at = begun.Add(time.Duration(b.Schedules)*scheduleEach + 3*b.Quiet).Truncate(time.Second)
	var next atomic.Int64
	var wait sync.WaitGroup
	failed := make(chan error, scheduleCreators)
	for range scheduleCreators {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.Schedules; i = int(next.Add(1)) - 1 {
				_, err := b.api.PutSchedule(ctx, fmt.Sprintf("bench-%d", i), client.ScheduleConfig{
					Every: job.Duration(365 * 24 * time.Hour), StartsAt: b.at, Job: client.ScheduledJob{Queue: b.queue(i), Type: "bench"},
				})
				if err != nil {
					failed <- err
					return
				}
				if i%1000 == 0 {
					b.Progress("created", i, b.Schedules)
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return time.Since(begun), nil
	}
}

// idle returns what the server uses of a processor while it only waits.
func (b *schedulesBench) idle(ctx context.Context) (float64, error) {
	if err := sleepFor(ctx, b.Quiet/4); err != nil { // what was written is put in order
		return 0, err
	}
	before, err := b.cpu()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := sleepFor(ctx, b.Quiet/2); err != nil {
		return 0, err
	}
	after, err := b.cpu()
	return float64(after-before) / float64(time.Since(begun)), err
}

// fire has another client enqueue from before the instant until all jobs are stored.
func (b *schedulesBench) fire(ctx context.Context, r *SchedulesReport) error {
	if late := time.Until(b.at) - b.Quiet; late < 0 {
		return fmt.Errorf("it took too long to create %d schedules: they were due %s ago", b.Schedules, -time.Until(b.at).Round(time.Second))
	} else if err := sleepFor(ctx, late); err != nil {
		return err
	}
	other := newOtherClient(b)
	load, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		other.run(load)
	}()
	if err := sleepFor(ctx, time.Until(b.at)); err != nil {
		return err
	}
	before, err := b.cpu()
	if err != nil {
		return err
	}
	if r.Enqueued, err = b.untilEnqueued(ctx); err != nil {
		return err
	}
	after, err := b.cpu()
	if err != nil {
		return err
	}
	stop()
	<-done
	r.CPU = after - before
	r.Before, r.During = other.calls(b.at.Add(-b.Quiet), b.at), other.calls(b.at, b.at.Add(r.Enqueued))
	return other.err
}

// untilEnqueued waits until all jobs of the schedules are stored.
func (b *schedulesBench) untilEnqueued(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, firedWait)
	defer cancel()
	for {
		var n int64
		for q, err := range b.api.Queues(ctx) {
			if err != nil {
				return 0, err
			}
			if q.Name != otherJobs {
				n += q.Counts[job.ShownPending] + q.Counts[job.ShownScheduled]
			}
		}
		took := time.Since(b.at)
		b.Progress("enqueued", int(n), b.Schedules)
		if n >= int64(b.Schedules) {
			return took, nil
		}
		if err := sleepFor(ctx, 20*time.Millisecond); err != nil {
			return 0, fmt.Errorf("%d of %d schedules have fired: %w", n, b.Schedules, err)
		}
	}
}

// otherClient enqueues at a steady rate, whatever becomes of the calls before.
type otherClient struct {
	b    *schedulesBench
	body []byte

	mu    sync.Mutex
	times map[time.Time]time.Duration
	err   error
}

func newOtherClient(b *schedulesBench) *otherClient {
	body, err := json.Marshal(map[string]any{"queue": otherJobs, "type": "bench", "payload": "x"})
	if err != nil {
		panic(err) // texts can be encoded
	}
	return &otherClient{b: b, body: body, times: make(map[time.Time]time.Duration)}
}

func (o *otherClient) run(ctx context.Context) {
	var wait sync.WaitGroup
	defer wait.Wait()
	tick := time.NewTicker(time.Second / time.Duration(o.b.Rate))
	defer tick.Stop()
	for {
		select {
		case at := <-tick.C:
			wait.Go(func() { o.call(context.WithoutCancel(ctx), at) })
		case <-ctx.Done():
			return
		}
	}
}

// call measures from when the call was due, so that a client that is held up itself
// hides nothing.
func (o *otherClient) call(ctx context.Context, due time.Time) {
	err := o.b.single(ctx, o.body)
	took := time.Since(due)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.times[due] = took
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("the other client's enqueue: %w", err)
	}
}

// calls returns those that were due in a span of time.
func (o *otherClient) calls(from, to time.Time) Calls {
	var times []time.Duration
	for due, took := range o.times {
		if !due.Before(from) && due.Before(to) {
			times = append(times, took)
		}
	}
	if len(times) == 0 {
		return Calls{}
	}
	return Calls{Calls: len(times), P50: quantile(times, 0.5), P99: quantile(times, 0.99), Max: quantile(times, 1)}
}

// sleepFor waits, or returns why it did not.
func sleepFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
