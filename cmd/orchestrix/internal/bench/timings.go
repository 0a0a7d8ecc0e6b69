package bench

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/receiver"
	"github.com/orchestrix/orchestrix/webhook"
)

// timed is the payload of a job whose way is timed. Client and worker run on one
// machine, so that they read the same clock.
type timed struct {
	// Phase tells the jobs of one phase from all others.
	Phase int `json:"phase"`
	// Sent is when the client began to enqueue it, in Unix nanoseconds.
	Sent int64 `json:"sent"`
}

// timings is the part of a worker that notes when jobs arrive, and the part that
// never answers.
type timings struct {
	verifier *webhook.Verifier

	mu     sync.Mutex
	phases map[int][]time.Duration
}

func newTimings(v *webhook.Verifier) *timings {
	return &timings{verifier: v, phases: map[int][]time.Duration{}}
}

func (t *timings) serve(mux *http.ServeMux) {
	mux.Handle("POST /timed", &receiver.Receiver{Verifier: t.verifier, Handle: t.timed})
	mux.Handle("POST /hang", &receiver.Receiver{Verifier: t.verifier, Handle: hang})
	mux.HandleFunc("GET /timings/{phase}", t.report)
}

func (t *timings) timed(rw http.ResponseWriter, _ *http.Request, p *receiver.Push) {
	var at timed
	if err := json.Unmarshal(p.Body, &at); err != nil {
		http.Error(rw, "the payload is none of the benchmark's", http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	t.phases[at.Phase] = append(t.phases[at.Phase], time.Duration(p.ReceivedAt.UnixNano()-at.Sent))
	t.mu.Unlock()
	rw.WriteHeader(http.StatusNoContent)
}

// hang answers nothing until the server gives up.
func hang(_ http.ResponseWriter, r *http.Request, _ *receiver.Push) { <-r.Context().Done() }

// report writes the times from enqueue to delivery of one phase's jobs.
func (t *timings) report(rw http.ResponseWriter, r *http.Request) {
	phase, err := strconv.Atoi(r.PathValue("phase"))
	if err != nil {
		http.Error(rw, "no such phase", http.StatusNotFound)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	writeJSON(rw, t.phases[phase])
}
