package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// pusher does what an application does by hand that has no dispatcher: it signs a
// payload and posts it to the worker.
type pusher struct {
	worker *process
	url    string
	signer *webhook.Signer
	client *http.Client
}

// newPusher starts the worker that receives, which is that of the benchmark.
func newPusher(ctx context.Context, o options) (*pusher, error) {
	secret := webhook.NewSecret()
	worker, url, err := startWorker(ctx, o.orchestrix, secret.Reveal())
	if err != nil {
		return nil, err
	}
	signer, err := webhook.NewSigner(secret)
	if err != nil {
		worker.stop()
		return nil, err
	}
	return &pusher{
		worker: worker, url: url, signer: signer,
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: o.concurrency, DisableCompression: true}},
	}, nil
}

func (p *pusher) stop() {
	p.client.CloseIdleConnections()
	p.worker.stop()
}

func (p *pusher) push(ctx context.Context, id string, payload []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/signed", bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	p.signer.Sign(req.Header, id, time.Now(), payload)
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the worker answered %s", resp.Status)
	}
	return nil
}

// until waits until the worker has received so many distinct pushes.
func (p *pusher) until(ctx context.Context, n int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := p.client.Get(p.url + "/counts")
		if err != nil {
			return err
		}
		var c struct{ Distinct, Unsigned int }
		err = json.NewDecoder(resp.Body).Decode(&c)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case c.Unsigned > 0:
			return errors.New("some pushes were not signed, or wrongly")
		case c.Distinct >= n:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// measure times run, and the CPU of this process, the worker and the store.
func (p *pusher) measure(name string, jobs int, store func() (time.Duration, error), run func() error) (row, error) {
	used := func() (time.Duration, error) {
		mine, err1 := cpuOf(os.Getpid())
		worker, err2 := p.worker.cpu()
		stored, err3 := store()
		return mine + worker + stored, errors.Join(err1, err2, err3)
	}
	before, err := used()
	if err != nil {
		return row{}, err
	}
	began := time.Now()
	if err := run(); err != nil {
		return row{}, fmt.Errorf("%s: %w", name, err)
	}
	wall := time.Since(began)
	after, err := used()
	return row{name, float64(jobs) / wall.Seconds(), float64((after - before).Microseconds()) / float64(jobs)}, err
}

// payloads are JSON texts that do not compress, in turn.
func payloads(size int) [][]byte {
	texts := make([][]byte, 64)
	for i := range texts {
		text := bytes.Repeat([]byte{'"'}, size)
		copy(text[1:size-1], slices.Repeat([]byte(rand.Text()), size/20+1))
		texts[i] = text
	}
	return texts
}
