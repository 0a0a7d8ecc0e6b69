package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// pushArgs is a River job.
type pushArgs struct {
	Payload json.RawMessage `json:"payload"`
}

// Kind implements river.JobArgs.
func (pushArgs) Kind() string { return "push" }

// pushWorker signs and posts a job.
type pushWorker struct {
	river.WorkerDefaults[pushArgs]
	pusher *pusher
}

// Work implements river.Worker.
func (w *pushWorker) Work(ctx context.Context, job *river.Job[pushArgs]) error {
	return w.pusher.push(ctx, "job-"+strconv.FormatInt(job.ID, 10), job.Args.Payload)
}

// riverBatch is how many jobs one insert has.
const riverBatch = 500

// riverOnPostgreSQL measures River: jobs are inserted in batches by its fast path,
// and its client's worker signs and posts them.
func riverOnPostgreSQL(ctx context.Context, o options) (row, error) {
	p, err := newPusher(ctx, o)
	if err != nil {
		return row{}, err
	}
	defer p.stop()
	postgres, url, err := startPostgreSQL(ctx)
	if err != nil {
		return row{}, err
	}
	defer postgres.stop()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return row{}, err
	}
	defer pool.Close()
	if err := eventually(ctx, pool.Ping); err != nil { // it listens before it has started up
		return row{}, err
	}
	client, err := startRiver(ctx, pool, p, o)
	if err != nil {
		return row{}, err
	}
	defer func() { _ = client.StopAndCancel(context.WithoutCancel(ctx)) }()
	texts := payloads(o.payload)
	return p.measure("River, PostgreSQL", o.jobs, postgres.cpu, func() error {
		batches := (o.jobs + riverBatch - 1) / riverBatch
		if err := each(batches, 4, func(i int) error {
			var params []river.InsertManyParams
			for k := i * riverBatch; k < min((i+1)*riverBatch, o.jobs); k++ {
				params = append(params, river.InsertManyParams{Args: pushArgs{texts[k%len(texts)]}})
			}
			_, err := client.InsertManyFast(ctx, params)
			return err
		}); err != nil {
			return err
		}
		return p.until(ctx, o.jobs)
	})
}

func startRiver(ctx context.Context, pool *pgxpool.Pool, p *pusher, o options) (*river.Client[pgx.Tx], error) {
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &pushWorker{pusher: p})
	client, err := river.NewClient(driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: o.concurrency}},
		Workers: workers, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	return client, client.Start(ctx)
}
