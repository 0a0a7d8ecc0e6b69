package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

// Email is a payload: what the client enqueued as JSON.
type Email struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
}

// The whole program: a worker that ends in good order.
func Example() {
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serveUntil(stopped); err != nil {
		slog.Error("the worker has ended", "error", err)
	}
}

func serveUntil(stopped context.Context) error {
	secret, err := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET")) // whsec_...
	if err != nil {
		return err
	}
	mux := worker.NewMux(worker.WithSecrets(secret))
	worker.Handle(mux, "email.send", func(ctx context.Context, job worker.Job[Email]) error {
		return send(ctx, job.Payload.To, job.Payload.Subject)
	})
	server := &http.Server{Addr: ":9000", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-stopped.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(mux.Shutdown(ctx), server.Shutdown(ctx))
}

func ExampleHandle() {
	mux := worker.NewMux(worker.WithSecrets(secret))
	worker.Handle(mux, "email.send", func(ctx context.Context, job worker.Job[Email]) error {
		fmt.Printf("attempt %d of %s: mail to %s\n", job.Attempt, job.ID, job.Payload.To)
		return nil
	})
	pushTo(mux, "email.send", `{"to": "ada@example.com"}`)
	// Output:
	// attempt 1 of job_1: mail to ada@example.com
	// answered 204
}

// The result is kept with the job.
func ExampleHandleResult() {
	type Receipt struct {
		MessageID string `json:"message_id"`
	}
	mux := worker.NewMux(worker.WithSecrets(secret))
	worker.HandleResult(mux, "email.send", func(ctx context.Context, job worker.Job[Email]) (Receipt, error) {
		return Receipt{MessageID: "m-17"}, nil
	})
	pushTo(mux, "email.send", `{"to": "ada@example.com"}`)
	// Output:
	// answered 200: {"message_id":"m-17"}
}

// An error says what is to become of the job.
func ExampleNoRetry() {
	mux := worker.NewMux(worker.WithSecrets(secret))
	worker.Handle(mux, "email.send", func(ctx context.Context, job worker.Job[Email]) error {
		err := send(ctx, job.Payload.To, job.Payload.Subject)
		switch {
		case errors.Is(err, errNoSuchAddress):
			return worker.NoRetry(err) // dead at once
		case errors.Is(err, errGreylisted):
			return worker.RetryAfter(5*time.Minute, err) // failed; the next attempt not before
		case errors.Is(err, errQuota):
			return worker.Throttle(time.Hour, err) // no attempt used up, and no other job sent meanwhile
		}
		return err // failed; the next attempt by the retry policy
	})
	pushTo(mux, "email.send", `{"to": "nobody@example.com"}`)
	pushTo(mux, "email.send", `{"to": "grey@example.com"}`)
	// Output:
	// answered 500 and orchestrix-no-retry: no such address
	// answered 500 and retry-after 300: greylisted
}

// A job of hours: the push is answered at once, and the handler runs on.
func ExampleAsync() {
	mux := worker.NewMux(worker.WithSecrets(secret))
	worker.HandleResult(mux, "video.encode", func(ctx context.Context, job worker.Job[Video]) (string, error) {
		for i, chapter := range job.Payload.Chapters {
			job.Progress(float64(i)/float64(len(job.Payload.Chapters))*100, chapter)
			if err := encode(ctx, chapter); err != nil {
				return "", err
			}
		}
		return "done", nil
	}, worker.Async(), worker.Limit(2))
}

// Why the context of a handler has ended.
func ExampleAsync_cancelled() {
	mux := worker.NewMux(worker.WithSecrets(secret))
	worker.Handle(mux, "video.encode", func(ctx context.Context, job worker.Job[Video]) error {
		err := encode(ctx, "all of it")
		if errors.Is(context.Cause(ctx), worker.ErrCancelled) {
			job.Log(slog.LevelInfo, "cancelled: the file is deleted")
			return errors.Join(err, os.Remove("all of it"))
		}
		return err
	}, worker.Async())
}

// A job that comes again after a lost answer is not done again.
func ExampleOnce() {
	seen := worker.NewMemorySeen(100_000) // or seenredis.New, seenpg.New
	mux := worker.NewMux(worker.WithSecrets(secret), worker.WithMiddleware(worker.Once(seen, 0)))
	worker.Handle(mux, "email.send", func(ctx context.Context, job worker.Job[Email]) error {
		fmt.Println("sent")
		return nil
	})
	pushAttempt(mux, "email.send", 1)
	pushAttempt(mux, "email.send", 2)
	// Output:
	// sent
	// answered 204
	// answered 204
}

func ExampleWithMiddleware() {
	timed := func(next worker.Handler) worker.Handler {
		return worker.HandlerFunc(func(ctx context.Context, p *worker.Push) (worker.Result, error) {
			began := time.Now()
			result, err := next.ServePush(ctx, p)
			p.Logger().InfoContext(ctx, "ran", "took", time.Since(began), "outcome", worker.Outcome(err))
			return result, err
		})
	}
	mux := worker.NewMux(worker.WithSecrets(secret), worker.WithMiddleware(timed))
	worker.Handle(mux, "email.send", func(ctx context.Context, job worker.Job[Email]) error { return nil })
}

// What the program logs with a job's context says of which job it is, and is in the
// job's own log too.
func ExampleNewLogHandler() {
	slog.SetDefault(slog.New(worker.NewLogHandler(slog.NewJSONHandler(os.Stderr, nil))))

	mux := worker.NewMux(worker.WithSecrets(secret))
	worker.Handle(mux, "video.encode", func(ctx context.Context, job worker.Job[Video]) error {
		slog.InfoContext(ctx, "begin", "chapters", len(job.Payload.Chapters))
		return nil
	}, worker.Async())
}

// The worker presents itself when it listens.
func ExampleMux_Register() {
	mux := worker.NewMux(worker.WithSecrets(secret))
	err := mux.Register(context.Background(), worker.Registration{
		Server: "https://orchestrix.example.com", Key: os.Getenv("ORCHESTRIX_API_KEY"),
		Name: "mailer", URL: "https://mailer.example.com/hook", Queues: []string{"emails"}, Concurrency: 50,
	})
	if err != nil {
		slog.Error("not registered", "error", err)
	}
}

// A secret that rotates needs no restart.
func ExampleMux_SetKeys() {
	mux := worker.NewMux(worker.WithSecrets(secret))
	newer := webhook.NewSecret()
	mux.SetKeys([]webhook.Secret{newer, secret}, nil)
}

// What follows is what the examples take for granted.

var (
	errNoSuchAddress = errors.New("no such address")
	errGreylisted    = errors.New("greylisted")
	errQuota         = errors.New("quota exceeded")
)

// Video is the payload of a long job.
type Video struct {
	Chapters []string `json:"chapters"`
}

func send(_ context.Context, to, _ string) error {
	switch {
	case strings.HasPrefix(to, "nobody"):
		return errNoSuchAddress
	case strings.HasPrefix(to, "grey"):
		return errGreylisted
	}
	return nil
}

func encode(ctx context.Context, _ string) error { return ctx.Err() }
