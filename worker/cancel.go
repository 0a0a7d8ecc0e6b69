package worker

import (
	"encoding/json"
	"net/http"
)

// cancelBody names the job that a push of type orchestrix.job.cancel is about.
type cancelBody struct {
	// JobID is the job's; where it is empty, the webhook-id of the push names it.
	JobID string `json:"job_id"`
	// Attempt is the one that is to end; where it is 0, orchestrix-attempt says it,
	// and where there is none all are meant.
	Attempt int `json:"attempt"`
}

// cancelRunning ends the asynchronous attempts that a signed push names. It is
// answered 204 whether or not there are any: perhaps another process has them, and
// learns of it by its next report.
func (m *Mux) cancelRunning(w http.ResponseWriter, p *Push) {
	var body cancelBody
	if len(p.Body) > 0 {
		if err := json.Unmarshal(p.Body, &body); err != nil {
			refuse(http.StatusBadRequest, "the body of a %s is not what it must be: %v", typeCancel, err).write(w)
			return
		}
	}
	if body.JobID == "" {
		body.JobID = p.ID
	}
	if body.Attempt == 0 {
		body.Attempt = p.Attempt
	}
	for other, t := range m.running.list() {
		if t.attempt != nil && other.ID == body.JobID && (body.Attempt == 0 || body.Attempt == other.Attempt) {
			t.cancel(ErrCancelled)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
