package e2e_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a test, and is only used up where it fails.
const patience = 30 * time.Second

// startServer runs a real server in memory, with pushes to loopback allowed.
func startServer(ctx context.Context, t *testing.T) *client.Client {
	t.Helper()
	c := app.Defaults()
	c.Store, c.Listen, c.Shards = "memory:", "127.0.0.1:0", 4
	c.AllowCIDR = []string{"127.0.0.0/8"}
	c.Logger = slog.New(slog.DiscardHandler)
	a, err := app.New(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(running) }()
	h := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		h.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	api, err := client.New(a.URL(), client.WithHTTPClient(h))
	if err != nil {
		t.Fatal(err)
	}
	return api
}

type order struct {
	ID int `json:"id"`
}

// A worker and a server that know each other only by the contract: what the one
// answers is what the other makes of it.
func TestAWorkerAndAServer(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	api := startServer(ctx, t)
	var attempts atomic.Int32
	mux := worker.NewMux(worker.WithSecrets(webhook.NewSecret()), worker.WithMiddleware(worker.Once(worker.NewMemorySeen(100), 0)))
	worker.HandleResult(mux, "order.ship", func(_ context.Context, job worker.Job[order]) (map[string]int, error) {
		if attempts.Add(1) == 1 {
			return nil, errors.New("the warehouse is closed")
		}
		return map[string]int{"parcel": job.Payload.ID * 10, "attempt": job.Attempt}, nil
	})
	worker.Handle(mux, "order.cancel", func(context.Context, worker.Job[order]) error {
		return worker.NoRetry(errors.New("it was shipped"))
	})
	hook := httptest.NewServer(mux)
	defer hook.Close()
	registration := worker.Registration{Server: api.URL(), Name: "shop", URL: hook.URL, Queues: []string{"orders"}, Timeout: 10 * time.Second, Deregister: true}
	if err := mux.Register(ctx, registration); err != nil {
		t.Fatal(err)
	}

	shipped := run(ctx, t, api, "order.ship")
	if shipped.Status != "succeeded" || len(shipped.Attempts) != 2 || string(shipped.Result) != `{"attempt":2,"parcel":70}` {
		t.Errorf("shipped: %s after %d attempts with %s", shipped.Status, len(shipped.Attempts), shipped.Result)
	}
	cancelled := run(ctx, t, api, "order.cancel")
	if cancelled.Status != "dead" || len(cancelled.Attempts) != 1 {
		t.Errorf("cancelled: %s after %d attempts", cancelled.Status, len(cancelled.Attempts))
	}
	if trial, err := api.TestWorker(ctx, "shop"); err != nil || trial.Outcome != "succeeded" {
		t.Errorf("a trial: %+v, %v", trial, err)
	}

	if err := mux.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, err := api.Worker(ctx, "shop"); !client.HasStatus(err, http.StatusNotFound) {
		t.Errorf("it is still registered: %v", err)
	}
}

// run enqueues a job and waits for its end.
func run(ctx context.Context, t *testing.T, api *client.Client, jobType string) *client.Job {
	t.Helper()
	receipt, err := api.Enqueue(ctx, client.NewJob{Queue: "orders", Type: jobType, Payload: order{7}, Retry: &job.Policy{InitialDelay: job.Duration(time.Millisecond)}})
	if err != nil {
		t.Fatal(err)
	}
	j, err := api.Wait(ctx, receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
