package dev

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/receiver"
	"github.com/orchestrix/orchestrix/webhook"
)

// sampleWorker is a worker that does what each sample says.
type sampleWorker struct {
	server  *receiver.Server
	samples map[string]Sample
	// pushes counts what verified, refused what did not.
	pushes, refused atomic.Int64
}

func startSampleWorker(ctx context.Context, secret webhook.Secret, samples []Sample) (*sampleWorker, error) {
	w := &sampleWorker{samples: map[string]Sample{}}
	for _, s := range samples {
		w.samples[s.Job.Type] = s
	}
	server, err := receiver.Listen(ctx, "127.0.0.1:0", &receiver.Receiver{
		Verifier: &webhook.Verifier{Secrets: []webhook.Secret{secret}},
		Handle:   w.handle,
		Refused:  func(http.Header, error) { w.refused.Add(1) },
	})
	if err != nil {
		return nil, fmt.Errorf("start the sample worker: %w", err)
	}
	w.server = server
	return w, nil
}

func (w *sampleWorker) handle(rw http.ResponseWriter, r *http.Request, p *receiver.Push) {
	w.pushes.Add(1)
	s := w.samples[p.Type]
	if s.Works > 0 {
		select {
		case <-time.After(s.Works):
		case <-r.Context().Done():
		}
	}
	if p.Attempt <= s.Fails {
		http.Error(rw, fmt.Sprintf("attempt %d of %s fails on purpose", p.Attempt, p.Type), s.Answer)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(rw, `{"done":true,"attempt":%d}`, p.Attempt)
}
