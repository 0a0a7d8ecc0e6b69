package worker

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// answer writes what became of a push.
func answer(ctx context.Context, w http.ResponseWriter, r Result, err error) {
	if err != nil {
		failureOf(context.Cause(ctx), err).write(w)
		return
	}
	if len(r.Body) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h := w.Header()
	h.Set("Content-Type", cmp.Or(r.ContentType, job.ContentTypeJSON))
	h.Set("Content-Length", strconv.Itoa(len(r.Body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(r.Body)
}

func (f failure) write(w http.ResponseWriter) {
	h := w.Header()
	if f.noRetry {
		h.Set(webhook.HeaderNoRetry, "true")
	}
	if f.after > 0 || f.released {
		h.Set("Retry-After", strconv.FormatInt(max(seconds(f.after), 1), 10))
	}
	http.Error(w, f.text, f.status)
}

// seconds rounds up: a worker that asked for a wait is not asked earlier.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// refusal is why a request is not run. It is an error for those who have to tell
// it, and never holds what the request said of itself.
type refusal struct {
	status int
	text   string
	after  time.Duration // where the server is to come again with the same job
}

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

func (r *refusal) write(w http.ResponseWriter) {
	failure{status: r.status, text: plainText(r.text), after: r.after}.write(w)
}
