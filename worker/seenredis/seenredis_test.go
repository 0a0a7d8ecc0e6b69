package seenredis_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/seenredis"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var n atomic.Int32
	workertest.TestSeen(t, func(*testing.T) worker.Seen {
		return seenredis.New(server.Client(), fmt.Sprintf("test%d:", n.Add(1)))
	})
}

func TestKeysGoByThemselves(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := seenredis.New(server.Client(), "")
	if _, err := s.Begin(t.Context(), "job_1", "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.Done(t.Context(), "job_2", 0); err != nil {
		t.Fatal(err)
	}
	if ttl := server.Client().PTTL(t.Context(), seenredis.DefaultPrefix+"job_1").Val(); ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("a claim goes after %v", ttl)
	}
	if ttl := server.Client().PTTL(t.Context(), seenredis.DefaultPrefix+"job_2").Val(); ttl > time.Second || ttl == -1 {
		t.Errorf("a note goes after %v", ttl)
	}
}

func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := seenredis.New(server.Client(), "")
	server.Kill()
	if _, err := s.Begin(t.Context(), "job_1", "a", time.Hour); err == nil {
		t.Error("a claim that nobody gave")
	}
	if s.Done(t.Context(), "job_1", time.Hour) == nil || s.Release(t.Context(), "job_1", "a") == nil {
		t.Error("what was not noted is not told")
	}
}

func Example() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer client.Close()
	seen := seenredis.New(client, "")

	mux := worker.NewMux(worker.WithSecrets(webhook.NewSecret()), worker.WithMiddleware(worker.Once(seen, 0)))
	worker.Handle(mux, "email.send", func(context.Context, worker.Job[string]) error { return nil })
}
