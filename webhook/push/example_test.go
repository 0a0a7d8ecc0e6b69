package push_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

func ExampleClient_Push() {
	secret := webhook.NewSecret()
	verifier := webhook.Verifier{Secrets: []webhook.Secret{secret}}
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(r.Header, body); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.Header().Set("Retry-After", "60")
		http.Error(w, "not now", http.StatusServiceUnavailable)
	}))
	defer worker.Close()

	client := push.New(push.Options{Guard: push.NewGuard(nil, true)})
	defer client.Close()
	destination, err := push.NewDestination(push.DestinationConfig{URL: worker.URL, Secrets: []webhook.Secret{secret}})
	if err != nil {
		panic(err)
	}
	answer := client.Push(context.Background(), &push.Request{
		Destination: destination, JobID: job.NewID(time.Now(), 0), Type: "invoice.created", Queue: "billing",
		Attempt: 1, MaxAttempts: 10, Deadline: time.Now().Add(30 * time.Second), Body: []byte(`{"amount": 12}`),
	})
	fmt.Println(answer.Outcome, answer.StatusCode, answer.RetryAfter)
	// Output: throttled 503 1m0s
}
