package cluster_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/test/history"
	"github.com/orchestrix/orchestrix/webhook"
)

// worker verifies, counts and notes pushes.
type worker struct {
	*httptest.Server
	secret webhook.Secret

	mu     sync.Mutex
	pushes map[string]int // by job
	first  map[string]time.Time
}

// startWorker starts one whose pushes are noted, and that answers 200 unless answer
// says otherwise.
func startWorker(t *testing.T, h *history.Recorder, answer http.HandlerFunc) *worker {
	w := &worker{secret: webhook.NewSecret(), pushes: map[string]int{}, first: map[string]time.Time{}}
	verifier := webhook.Verifier{Secrets: []webhook.Secret{w.secret}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // its sender was killed before it had sent all: no push
		}
		if err := verifier.Verify(r.Header, body); err != nil {
			t.Errorf("a push does not verify: %v", err)
		}
		id := r.Header.Get(webhook.HeaderID)
		w.mu.Lock()
		if w.pushes[id]++; w.pushes[id] == 1 {
			w.first[id] = time.Now()
		}
		w.mu.Unlock()
		push := h.Begin(seen(r, body))
		noted := &noting{ResponseWriter: rw, status: http.StatusOK}
		if answer != nil {
			answer(noted, r)
		}
		if r.Context().Err() != nil {
			noted.status = 0
		}
		h.End(push, noted.status)
	}))
	t.Cleanup(w.Close)
	return w
}

// count returns how many jobs were pushed.
func (w *worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pushes)
}

// pushed returns when a job was first pushed; zero where it was not.
func (w *worker) pushed(id string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first[id]
}

// repeats returns how many pushes were made beyond one of each job.
func (w *worker) repeats() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pushes := range w.pushes {
		n += pushes - 1
	}
	return n
}

// perJob returns how often each job was pushed.
func (w *worker) perJob() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.pushes)
}

// noting keeps the status of an answer.
type noting struct {
	http.ResponseWriter
	status int
}

func (n *noting) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

// seen is what a request says of its push. Its payload is the job's name in the
// history.
func seen(r *http.Request, body []byte) history.Push {
	p := history.Push{
		ID: r.Header.Get(webhook.HeaderID), Queue: r.Header.Get(webhook.HeaderQueue), Key: r.Header.Get(webhook.HeaderKey), Worker: "w",
	}
	// What does not parse is 0, and no attempt of any job.
	p.Attempt, _ = strconv.Atoi(r.Header.Get(webhook.HeaderAttempt))
	p.Epoch, _ = strconv.ParseUint(r.Header.Get(webhook.HeaderEpoch), 10, 64)
	if json.Unmarshal(body, &p.Ref) != nil {
		p.Ref = string(body)
	}
	return p
}
