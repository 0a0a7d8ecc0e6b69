package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/receiver"
	"github.com/orchestrix/orchestrix/webhook"
)

// verifyEvery is how many signed pushes go by for one whose signatures are
// checked in full: the bare loop has none to check, and a worker's own cost is
// not what is measured. That there is a signature is checked on each.
const verifyEvery = 64

// Counts are what a worker has received.
type Counts struct {
	Bare     int `json:"bare"`
	Signed   int `json:"signed"`
	Distinct int `json:"distinct"` // webhook-ids among the signed
	Unsigned int `json:"unsigned"` // that should have been signed, and were not or wrongly
	Verified int `json:"verified"` // whose signatures were checked in full
}

// worker is the receiving end of both loops.
type worker struct {
	verifier webhook.Verifier

	mu     sync.Mutex
	counts Counts
	ids    map[string]struct{}
}

// ServeWorker runs the worker until the context ends. It prints its URL as the
// first line on out.
func ServeWorker(ctx context.Context, secret string, out io.Writer) error {
	parsed, err := webhook.ParseSecret(secret)
	if err != nil {
		return err
	}
	w := &worker{verifier: webhook.Verifier{Secrets: []webhook.Secret{parsed}}, ids: map[string]struct{}{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /bare", w.bare)
	mux.HandleFunc("POST /signed", w.signed)
	mux.HandleFunc("GET /counts", w.report)
	newTimings(&w.verifier).serve(mux)
	server, err := receiver.Listen(ctx, "127.0.0.1:0", mux)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, server.URL())
	<-ctx.Done()
	return server.Close(ctx, time.Second)
}

func (w *worker) bare(rw http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(rw, "the body cannot be read", http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	w.counts.Bare++
	w.mu.Unlock()
	io.WriteString(rw, "{}")
}

// The names of the headers as net/http keeps them: looking them up under these
// costs no conversion, which the bare loop has none of.
var (
	idHeader        = http.CanonicalHeaderKey(webhook.HeaderID)
	signatureHeader = http.CanonicalHeaderKey(webhook.HeaderSignature)
	ownHeader       = http.CanonicalHeaderKey(webhook.HeaderOwnSignature)
)

func (w *worker) signed(rw http.ResponseWriter, r *http.Request) {
	ok := len(r.Header[signatureHeader]) == 1 && len(r.Header[ownHeader]) == 1
	var err error
	if w.receive(r.Header.Get(idHeader)) {
		ok, err = w.verify(r)
	} else {
		_, err = io.Copy(io.Discard, r.Body)
	}
	switch {
	case err != nil:
		http.Error(rw, "the body cannot be read", http.StatusBadRequest)
	case !ok:
		w.mu.Lock()
		w.counts.Unsigned++
		w.mu.Unlock()
		http.Error(rw, "the signature does not verify", http.StatusUnauthorized)
	default:
		io.WriteString(rw, "{}")
	}
}

// receive counts a signed push, and says whether it is one to be verified.
func (w *worker) receive(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids[id] = struct{}{}
	w.counts.Signed++
	return w.counts.Signed%verifyEvery == 1
}

func (w *worker) verify(r *http.Request) (ok bool, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false, err
	}
	w.mu.Lock()
	w.counts.Verified++
	w.mu.Unlock()
	return w.verifier.Verify(r.Header, body) == nil, nil
}

func (w *worker) report(rw http.ResponseWriter, _ *http.Request) {
	w.mu.Lock()
	counts := w.counts
	counts.Distinct = len(w.ids)
	w.mu.Unlock()
	writeJSON(rw, counts)
}

// writeJSON answers with v. Whoever asked and went away needs no answer.
func writeJSON(rw http.ResponseWriter, v any) {
	if err := json.NewEncoder(rw).Encode(v); err != nil {
		return
	}
}
