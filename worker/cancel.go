package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// cancelBody names the job that a push of type orchestrix.job.cancel is about.
type cancelBody struct {
	// JobID is the job's; where it is empty, the webhook-id of the push names it.
	JobID string `json:"job_id"`
	// Attempt is the one that is to end; where it is 0, orchestrix-attempt says it,
	// and where there is none all are meant.
	Attempt int `json:"attempt"`
}

// cancelWait is how long a cancel waits for the handler: shorter than the server
// waits for the answer.
const cancelWait = 5 * time.Second

// cancelRunning ends the asynchronous attempt that a signed push names. It is
// answered 2xx when the handler has returned, since the server then gives its place to
// another job; 503 where it has not yet; and 404 where the attempt is not known here:
// perhaps another process has it, which the next try reaches, or its next report.
func (m *Mux) cancelRunning(w http.ResponseWriter, r *http.Request, p *Push) {
	var body cancelBody
	if len(p.Body) > 0 {
		if err := json.Unmarshal(p.Body, &body); err != nil {
			refuse(http.StatusBadRequest, "the body of a %s is not what it must be: %v", typeCancel, err).write(w)
			return
		}
	}
	body.JobID, body.Attempt = cmp.Or(body.JobID, p.ID), cmp.Or(body.Attempt, p.Attempt)
	var cancelled []*attempt
	for other, t := range m.running.list() {
		if t.attempt != nil && (attemptName{other.ID, other.Attempt}).is(body.JobID, body.Attempt) {
			t.cancel(ErrCancelled)
			cancelled = append(cancelled, t.attempt)
		}
	}
	switch {
	case len(cancelled) == 0 && !m.running.hasEnded(body.JobID, body.Attempt):
		refuse(http.StatusNotFound, "this process of the worker has no such attempt").write(w)
	case !waitEnded(r.Context(), cancelled):
		refused := refuse(http.StatusServiceUnavailable, "the attempt is told to end, and has not yet")
		refused.after = time.Second
		refused.write(w)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// waitEnded waits for the handlers of attempts, and reports whether all have
// returned.
func waitEnded(ctx context.Context, attempts []*attempt) bool {
	ctx, stop := context.WithTimeout(ctx, cancelWait)
	defer stop()
	for _, a := range attempts {
		select {
		case <-a.ended:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
