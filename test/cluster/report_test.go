package cluster_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/webhook"
)

// A worker that has taken an attempt over reports to whichever node it reaches: also to
// one that does not serve the job's shard.
func TestReportToAnotherNode(t *testing.T) {
	t.Parallel()
	pushed := make(chan http.Header, 1)
	c := start(t, 2, func(w http.ResponseWriter, r *http.Request) {
		pushed <- r.Header
		w.Header().Set(webhook.HeaderAsync, "true")
		w.WriteHeader(http.StatusAccepted)
	})
	owner, other := c.all[0], c.all[1]
	id := c.submit(other, client.NewJob{Queue: c.owned(owner)[0]})
	var push http.Header
	select {
	case push = <-pushed:
	case <-c.ctx.Done():
		t.Fatal("it was never pushed")
	}
	at := push.Get(webhook.HeaderCallbackURL)
	if !strings.HasPrefix(at, owner.url+"/") {
		t.Fatalf("it was pushed by who is not its owner %s: %s", owner.url, at)
	}
	report := func(verb, body string) int {
		path, err := url.Parse(at + verb)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, other.url+path.Path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+push.Get(webhook.HeaderAttemptToken))
		resp, err := other.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := report("/heartbeat", "{}"); status != http.StatusOK {
		t.Errorf("a heartbeat is answered %d", status)
	}
	// Until the other node knows that the attempt was taken over, and its owner has
	// looked into its inbox, the report may be repeated; 409 is one that was taken late.
	c.until("the completion is taken", func() bool {
		status := report("/complete", `{"result": 7}`)
		return status == http.StatusOK || status == http.StatusConflict
	})
	if status := report("/complete", "{}"); status != http.StatusConflict {
		t.Errorf("a second completion is answered %d", status)
	}
	j, err := owner.Wait(c.ctx, id)
	if err != nil || j.Status != "succeeded" || string(j.Result) != "7" || len(j.Attempts) != 1 {
		t.Errorf("%+v, %v", j, err)
	}
}
