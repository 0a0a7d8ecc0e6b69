package control

import (
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
)

// Nothing is left to be put into a sentence, also of a cause without one.
func TestSentences(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	j := &job.Job{Queue: "q", Key: "k"}
	for cause := range sentences {
		if text := c.sentence(j, &dispatcher.Wait{Cause: cause, Worker: "w", Jobs: []job.ID{{1}}}); strings.ContainsAny(text, "{}") {
			t.Errorf("%s: %s", cause, text)
		}
	}
	if text := c.sentence(j, &dispatcher.Wait{Cause: "other"}); text != "it waits: other" {
		t.Errorf("of a cause without a sentence: %s", text)
	}
	for code, text := range map[string]string{"max_attempts": endings["max_attempts"], "http_status": endings["dead"], "": endings["dead"]} {
		if r := endedReason(&job.Job{Status: job.Dead, Reason: job.Reason(code)}); r.Message != text || text == "" {
			t.Errorf("dead with reason %q: %s", code, r.Message)
		}
	}
}
