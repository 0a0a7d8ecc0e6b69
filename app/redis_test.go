package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// onRedis is the configuration of a server on Redis.
func onRedis(url string) app.Config {
	c := config("")
	c.Store = url
	return c
}

// once makes calls that are not repeated, to see what they meet.
func (s *server) once(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(s.app.URL(), client.WithRetries(0), client.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *server) ready(t *testing.T) (status int, durability string) {
	t.Helper()
	return s.probe(t, "/readyz")
}

// probe is what /healthz or /readyz answers.
func (s *server) probe(t *testing.T, path string) (status int, durability string) {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, s.app.URL()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct{ Durability string }
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body.Durability
}

// unavailable checks that an enqueue is told to come again, and why, and that the
// server says so of itself while its process lives.
func (s *server) unavailable(t *testing.T) {
	t.Helper()
	_, err := s.once(t).Enqueue(deadline(t), client.NewJob{Queue: "q", Type: "refused"})
	var problem *client.Problem
	if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || problem.RetryAfter <= 0 {
		t.Errorf("Enqueue = %v, want 503 with Retry-After", err)
	}
	if code, _ := s.probe(t, "/healthz"); code != http.StatusOK {
		t.Errorf("the process does not live: %d", code)
	}
}

// back waits until the server takes jobs again by itself.
func (s *server) back(t *testing.T) {
	t.Helper()
	ctx := deadline(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.once(t).Enqueue(ctx, client.NewJob{Queue: "q", Type: "after"})
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the server does not come back: %v", err)
		}
	}
}

func TestOnRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := start(t, onRedis(redis.URL("")))
	w := s.register(t, "w", []string{"q"}, nil)
	made, err := s.Enqueue(deadline(t), client.NewJob{Queue: "q", Type: "t", Payload: "kept"})
	if err != nil || made.Durability != "aof" {
		t.Fatalf("Enqueue = %+v, %v", made, err)
	}
	if status, durability := s.ready(t); status != http.StatusOK || durability != "aof" {
		t.Errorf("ready: %d, durability %s", status, durability)
	}
	status(t, s.await(t, made.ID), job.Succeeded)
	if w.received()[0].body != `"kept"` {
		t.Errorf("pushed %s", w.received()[0].body)
	}
	later := s.enqueue(t, client.NewJob{Queue: "q", Delay: job.Duration(time.Hour)})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	// What stopped in order left no lease: the next one starts at once.
	begin := time.Now()
	next := start(t, onRedis(redis.URL("")))
	if _, err := next.Job(deadline(t), later, 0); err != nil {
		t.Error(err)
	}
	next.back(t)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the next server took %s to start", took)
	}
}

func TestDurabilityIsShown(t *testing.T) {
	t.Parallel()
	c := onRedis(redistest.Start(t, "appendonly no").URL(""))
	if _, err := app.New(deadline(t), c); err == nil || !strings.Contains(err.Error(), "--durability memory") {
		t.Errorf("a server without an append-only file: %v", err)
	}
	if err := c.CheckStore(deadline(t)); err == nil || !strings.Contains(err.Error(), "appendonly yes") {
		t.Errorf("CheckStore = %v", err)
	}
	c.Durability = "memory"
	if err := c.CheckStore(deadline(t)); err != nil {
		t.Errorf("CheckStore = %v", err)
	}
	s := start(t, c)
	if made, err := s.Enqueue(deadline(t), client.NewJob{Queue: "q", Type: "t"}); err != nil || made.Durability != "memory" {
		t.Errorf("Enqueue = %+v, %v", made, err)
	}
	if _, durability := s.ready(t); durability != "memory" {
		t.Errorf("durability %s", durability)
	}
}

// A store that is away costs no job and no push: what was under way is recorded
// when it is back.
func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		leave, come func(t *testing.T, r *redistest.Server)
	}{
		"killed": {
			func(_ *testing.T, r *redistest.Server) { r.Kill() },
			func(t *testing.T, r *redistest.Server) { r.Restart(t) },
		},
		"read-only": {
			func(t *testing.T, r *redistest.Server) { r.Do(t, "REPLICAOF", "127.0.0.1", "1") },
			func(t *testing.T, r *redistest.Server) { r.Do(t, "REPLICAOF", "NO", "ONE") },
		},
		"without its scripts, and stopped for seconds": {
			func(t *testing.T, r *redistest.Server) {
				r.Do(t, "SCRIPT", "FLUSH")
				r.Do(t, "CLIENT", "PAUSE", "5000")
			},
			func(*testing.T, *redistest.Server) {},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && name != "killed" {
				t.Skip("short")
			}
			redis := redistest.Start(t)
			s := start(t, onRedis(redis.URL("")))
			reached, release := make(chan struct{}, 8), make(chan struct{})
			w := s.register(t, "w", []string{"q"}, func(http.ResponseWriter, *http.Request, push) {
				reached <- struct{}{}
				<-release
			})
			pushed := s.enqueue(t, client.NewJob{Queue: "q"})
			waiting := s.enqueue(t, client.NewJob{Queue: "unserved"})
			<-reached
			tt.leave(t, redis)
			s.unavailable(t)
			if name == "killed" {
				if code, _ := s.ready(t); code != http.StatusServiceUnavailable {
					t.Errorf("ready: %d, want 503", code)
				}
			}
			close(release)
			tt.come(t, redis)
			s.back(t)
			j := s.await(t, pushed)
			status(t, j, job.Succeeded)
			if got := outcomes(j); len(got) != 1 || w.received()[0].id != pushed {
				t.Errorf("attempts %v, want one", got)
			}
			if j, err := s.Job(deadline(t), waiting, 0); err != nil || j.Status != job.ShownPending {
				t.Errorf("the job that waits: %+v, %v", j, err)
			}
			if code, _ := s.ready(t); code != http.StatusOK {
				t.Errorf("ready: %d", code)
			}
		})
	}
}

// With its memory full the store takes no new jobs, and the outcomes of those that
// are under way.
func TestRedisIsFull(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := start(t, onRedis(redis.URL("")))
	reached, release := make(chan struct{}, 8), make(chan struct{})
	s.register(t, "w", []string{"q"}, func(http.ResponseWriter, *http.Request, push) {
		reached <- struct{}{}
		<-release
	})
	id := s.enqueue(t, client.NewJob{Queue: "q"})
	<-reached
	redis.Do(t, "CONFIG", "SET", "maxmemory", "1mb")
	s.unavailable(t)
	close(release)
	status(t, s.await(t, id), job.Succeeded)
	if code, _ := s.ready(t); code != http.StatusOK {
		t.Errorf("ready: %d; a full store still answers", code)
	}
	redis.Do(t, "CONFIG", "SET", "maxmemory", "0")
	s.back(t)
}

// A store that was lost stops the shards, loudly, and neither the process nor the
// server that it was on is worn out.
func TestRedisIsFlushed(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it looks on for seconds")
	}
	redis := redistest.Start(t)
	c := onRedis(redis.URL(""))
	var log lines
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := start(t, c)
	s.register(t, "w", []string{"q"}, nil)
	s.await(t, s.enqueue(t, client.NewJob{Queue: "q"}))
	redis.Do(t, "FLUSHALL")
	s.unavailable(t)
	if code, _ := s.ready(t); code != http.StatusServiceUnavailable {
		t.Errorf("ready: %d, want 503", code)
	}
	ctx := deadline(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for strings.Count(log.String(), "a shard is not served") < c.Shards {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not all shards stopped:\n%s", log.String())
		}
	}
	redis.Do(t, "CONFIG", "RESETSTAT")
	quiet := time.NewTimer(2 * time.Second)
	<-quiet.C
	calls := redis.Do(t, "INFO", "commandstats").(string)
	for line := range strings.Lines(calls) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
			text, _, _ := strings.Cut(rest, ",")
			// Each shard tries again after 100 ms, and then after twice as long each time.
			if n, err := strconv.Atoi(text); err != nil || n > 8*c.Shards {
				t.Errorf("%s calls in two seconds of a store that is lost, for %d shards", text, c.Shards)
			}
		}
	}
}

// A job that too few replicas have received is told to be of unknown fate; asked
// for again under its key it is one job.
func TestReplicaOfRedisIsAway(t *testing.T) {
	t.Parallel()
	watched := redistest.StartSentinel(t)
	c := onRedis(watched.URL(""))
	c.Durability = "replicas=1"
	s := start(t, c)
	w := s.register(t, "w", []string{"q"}, nil)
	j := client.NewJob{Queue: "q", Type: "t", IdempotencyKey: "one"}
	watched.Replica.Kill()
	_, err := s.once(t).Enqueue(deadline(t), j)
	var problem *client.Problem
	if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || problem.Outcome != "unknown" {
		t.Errorf("Enqueue = %v, want 503 with an unknown outcome", err)
	}
	watched.Replica.Restart(t)
	s.back(t)
	made, err := s.Enqueue(deadline(t), j)
	if err != nil || made.Durability != "replicas=1" {
		t.Fatalf("Enqueue = %+v, %v", made, err)
	}
	status(t, s.await(t, made.ID), job.Succeeded)
	pushes := 0
	for _, p := range w.received() {
		if p.jobType == "t" {
			pushes++
		}
	}
	if pushes != 1 {
		t.Errorf("%d pushes, want 1", pushes)
	}
}

// lines is a log that many write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
