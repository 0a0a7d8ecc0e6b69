package main

import (
	"context"
	"strconv"
	"sync"

	"github.com/hibiken/asynq"
)

// enqueuers is how many goroutines enqueue: asynq takes one task at a time.
const enqueuers = 64

// asynqOnRedis measures asynq: tasks are enqueued one by one, and its server's
// handler signs and posts them. A task is deleted when it is done, its default.
func asynqOnRedis(ctx context.Context, o options) (row, error) {
	p, err := newPusher(ctx, o)
	if err != nil {
		return row{}, err
	}
	defer p.stop()
	redis, address, err := startRedis(ctx)
	if err != nil {
		return row{}, err
	}
	defer redis.stop()
	at := asynq.RedisClientOpt{Addr: address, PoolSize: enqueuers}
	server := asynq.NewServer(at, asynq.Config{Concurrency: o.concurrency, LogLevel: asynq.FatalLevel})
	handler := asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		return p.push(ctx, t.ResultWriter().TaskID(), t.Payload())
	})
	if err := server.Start(handler); err != nil {
		return row{}, err
	}
	defer server.Shutdown()
	client := asynq.NewClient(at)
	defer client.Close()
	texts := payloads(o.payload)
	return p.measure("asynq, Redis", o.jobs, redis.cpu, func() error {
		if err := each(o.jobs, enqueuers, func(i int) error {
			_, err := client.EnqueueContext(ctx, asynq.NewTask("push", texts[i%len(texts)]), asynq.TaskID("task-"+strconv.Itoa(i)))
			return err
		}); err != nil {
			return err
		}
		return p.until(ctx, o.jobs)
	})
}

// each calls f with 0 to n-1 from so many goroutines, and returns one of the errors.
func each(n, goroutines int, f func(i int) error) error {
	var wait sync.WaitGroup
	errs := make(chan error, goroutines)
	for g := range goroutines {
		wait.Go(func() {
			for i := g; i < n; i += goroutines {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
