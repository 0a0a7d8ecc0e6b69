package e2e_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

// Asynchronous jobs between a worker and a server that know each other only by the
// contract: failed and repeated, completed, cancelled, given back.
func TestAsynchronousJobs(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	api := startServer(ctx, t)
	mux := worker.NewMux(worker.WithSecrets(webhook.NewSecret()), worker.WithLogger(slog.New(slog.DiscardHandler)))
	worker.HandleResult(mux, "render", func(_ context.Context, job worker.Job[order]) (map[string]int, error) {
		job.Progress(50, "half")
		job.Log(slog.LevelInfo, "half")
		if job.Attempt == 1 {
			return nil, worker.RetryAfter(time.Second, errors.New("the oven is cold"))
		}
		return map[string]int{"attempt": job.Attempt}, nil
	}, worker.Async())
	started, causes := make(chan string, 1), make(chan error, 1)
	worker.Handle(mux, "wait", func(ctx context.Context, job worker.Job[order]) error {
		started <- job.ID
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}, worker.Async())
	hook := httptest.NewServer(mux)
	defer hook.Close()
	registration := worker.Registration{Server: api.URL(), Name: "kitchen", URL: hook.URL, Queues: []string{"orders"}, HeartbeatTimeout: 5 * time.Second, Deregister: true}
	if err := mux.Register(ctx, registration); err != nil {
		t.Fatal(err)
	}

	rendered := run(ctx, t, api, "render")
	if rendered.Status != "succeeded" || string(rendered.Result) != `{"attempt":2}` || rendered.Attempts[0].Error != "the oven is cold" {
		t.Errorf("rendered: %s with %s, %+v", rendered.Status, rendered.Result, rendered.Attempts)
	}

	cancelled := enqueue(ctx, t, api, started)
	if _, err := api.CancelJob(ctx, cancelled); err != nil {
		t.Fatal(err)
	}
	if err := <-causes; !errors.Is(err, worker.ErrCancelled) {
		t.Errorf("cancelled: %v", err)
	}

	givenBack := enqueue(ctx, t, api, started)
	ending, endingStop := context.WithCancel(ctx)
	endingStop() // does not wait for the job
	if err := mux.Shutdown(ending); err != nil {
		t.Error(err)
	}
	if err := <-causes; !errors.Is(err, worker.ErrShutdown) {
		t.Errorf("given back: %v", err)
	}
	j, err := api.Job(ctx, givenBack, 0)
	if err != nil || j.Status == "running" || j.Failures != 0 {
		t.Errorf("given back it is %s after %d failures, %v", j.Status, j.Failures, err)
	}
}

// enqueue enqueues a job that waits, and waits until it runs.
func enqueue(ctx context.Context, t *testing.T, api *client.Client, started <-chan string) string {
	t.Helper()
	receipt, err := api.Enqueue(ctx, client.NewJob{Queue: "orders", Type: "wait"})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case id := <-started:
		if id != receipt.ID {
			t.Errorf("job %s runs, and not %s", id, receipt.ID)
		}
	case <-ctx.Done():
		t.Fatal("the job does not run")
	}
	return receipt.ID
}
