package push

import (
	"slices"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

// TestTrace: the heads as they were on the wire, those of interim answers left
// out, and nothing where nobody answered.
func TestTrace(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, answerWith(crlf("HTTP/1.1 103 Early Hints", "x-early: 1", "", "HTTP/1.1 200 OK", "X-One:  1 ", "x-one: \xff", "Content-Length: 0", "", ""), false))
	client := newClient(t, Options{})
	var trace Trace
	r := newRequest(newAuthDestination(t, server.url, Auth{Type: AuthBearer, Token: "t"}), "{}")
	r.Trace = &trace
	if a := client.Push(t.Context(), r); a.Outcome != job.OutcomeSucceeded {
		t.Fatalf("%+v", a)
	}
	if want := []HeaderField{{"X-One", "1"}, {"x-one", "?"}, {"Content-Length", "0"}}; !slices.Equal(trace.Answer, want) {
		t.Errorf("answer %q", trace.Answer)
	}
	for _, want := range []HeaderField{{"Authorization", "Bearer t"}, {"webhook-id", r.JobID.String()}, {"Content-Type", "application/json"}} {
		if !slices.Contains(trace.Request, want) {
			t.Errorf("no %q in %q", want, trace.Request)
		}
	}
	trace = Trace{}
	r.Destination = newDestination(t, "http://127.0.0.1:1")
	if a := client.Push(t.Context(), r); a.Sent || trace.Request != nil || trace.Answer != nil {
		t.Errorf("%+v %+v", a, trace)
	}
}
