package push

import (
	"net/http"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// A 202 takes the attempt over where it says so, or where the worker always does, and
// where there is something that it can report to.
func TestAnswerThatAccepts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status        int
		header, async bool
		callback      string
		accepted      bool
		outcome       job.Outcome
	}{
		"by header":              {202, true, false, "http://c", true, job.OutcomeSucceeded},
		"by the worker":          {202, false, true, "http://c", true, job.OutcomeSucceeded},
		"without either":         {202, false, false, "http://c", false, job.OutcomeSucceeded},
		"another status":         {200, true, true, "http://c", false, job.OutcomeSucceeded},
		"nowhere to report":      {202, true, false, "", false, job.OutcomeFailed},
		"nowhere, by the worker": {202, false, true, "", false, job.OutcomeFailed},
	} {
		var a Answer
		a.judge(&head{status: tt.status, async: tt.header}, &Request{Async: tt.async, CallbackURL: tt.callback}, time.Now())
		if a.Accepted != tt.accepted || a.Outcome != tt.outcome {
			t.Errorf("%s: %+v", name, a)
		}
	}
	var a Answer
	a.judge(&head{status: http.StatusInternalServerError, async: true}, &Request{Async: true, CallbackURL: "http://c"}, time.Now())
	if a.Accepted || a.Reason != job.ReasonHTTPStatus {
		t.Errorf("a failure: %+v", a)
	}
}
