package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/receiver"
	"github.com/orchestrix/orchestrix/webhook"
)

func timedPush(t *timings, body []byte, at time.Time) int {
	rw := httptest.NewRecorder()
	t.timed(rw, nil, &receiver.Push{Body: body, ReceivedAt: at})
	return rw.Code
}

// The times of a phase are its own, and are read over HTTP.
func TestTimings(t *testing.T) {
	t.Parallel()
	all := newTimings(&webhook.Verifier{})
	sent := time.Unix(1000, 0)
	for phase, ms := range map[int]int{1: 5, 2: 7} {
		payload := []byte(`{"phase":` + string(rune('0'+phase)) + `,"sent":1000000000000}`)
		if code := timedPush(all, payload, sent.Add(time.Duration(ms)*time.Millisecond)); code != http.StatusNoContent {
			t.Fatalf("answered %d", code)
		}
	}
	if code := timedPush(all, []byte("no JSON"), sent); code != http.StatusBadRequest {
		t.Errorf("a payload of somebody else's was answered %d", code)
	}
	mux := http.NewServeMux()
	all.serve(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string][]time.Duration{"1": {5 * time.Millisecond}, "2": {7 * time.Millisecond}, "3": nil} {
		var got []time.Duration
		if err := getJSON(t.Context(), server.URL+"/timings/"+path, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("phase %s (-want +got):\n%s", path, diff)
		}
	}
	if err := getJSON(t.Context(), server.URL+"/timings/x", new([]time.Duration)); err == nil {
		t.Error("there is a phase x")
	}
	http.DefaultClient.CloseIdleConnections()
}

// What is neither signed nor meant is answered nothing but 401.
func TestTimingsVerify(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	newTimings(&webhook.Verifier{Secrets: []webhook.Secret{webhook.NewSecret()}}).serve(mux)
	for _, path := range []string{"/timed", "/hang"} {
		rw := httptest.NewRecorder()
		mux.ServeHTTP(rw, httptest.NewRequest(http.MethodPost, path, http.NoBody))
		if rw.Code != http.StatusUnauthorized {
			t.Errorf("%s answered %d", path, rw.Code)
		}
	}
}

func TestHangEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		rw := httptest.NewRecorder()
		ended := false
		go func() {
			hang(rw, httptest.NewRequest(http.MethodPost, "/hang", http.NoBody).WithContext(ctx), nil)
			ended = true
		}()
		time.Sleep(time.Hour)
		if ended {
			t.Error("it ended before its request")
		}
		cancel()
		synctest.Wait()
		if !ended || rw.Body.Len() > 0 || len(rw.Header()) > 0 {
			t.Errorf("ended %t, answered %q", ended, rw.Body)
		}
	})
}
