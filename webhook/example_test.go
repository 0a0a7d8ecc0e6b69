package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// A worker: it verifies each push before it does anything else.
func ExampleVerifier() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		panic(err)
	}
	verifier := webhook.Verifier{Secrets: []webhook.Secret{secret}}
	worker := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := verifier.Verify(r.Header, body); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Printf("%s: %s\n", r.Header.Get(webhook.HeaderJobType), body)
	}

	// What Orchestrix sends.
	body := `{"amount": 12}`
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header.Set(webhook.HeaderJobType, "invoice.created")
	signer, err := webhook.NewSigner(secret)
	if err != nil {
		panic(err)
	}
	signer.Sign(r.Header, "job_01hf6sxqzmd3w3m0h3tq3v0g4k", time.Now(), []byte(body))
	worker(httptest.NewRecorder(), r)

	forged := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(`{"amount": 1000000}`))
	forged.Header = r.Header
	answer := httptest.NewRecorder()
	worker(answer, forged)
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// invoice.created: {"amount": 12}
	// 401 webhook: no signature matches: webhook-signature
}
