package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// The queues of the two ways in: one each, so that their counts tell when all
// jobs of a phase have succeeded.
const (
	batchQueue  = "bench-batches"
	singleQueue = "bench-singles"
)

// posters is how many batches are on their way at once: enough that the server
// never waits for the next one.
const posters = 4

// details are what a phase knows of itself beside the time it took.
type details struct {
	accepted time.Duration
	posts    []time.Duration
}

// measure times a phase and the CPU of all processes during it.
func (b *bench) measure(name string, run func() (details, error)) (Phase, error) {
	before := b.usage()
	began := time.Now()
	d, err := run()
	wall := time.Since(began)
	if err != nil {
		return Phase{}, fmt.Errorf("%s: %w", name, err)
	}
	p := Phase{Name: name, Jobs: b.Jobs, Wall: wall, Accepted: d.accepted, Rate: float64(b.Jobs) / wall.Seconds()}
	p.setCPU(before, b.usage())
	if len(d.posts) > 0 {
		slices.Sort(d.posts)
		p.P50, p.P99 = d.posts[len(d.posts)/2], d.posts[len(d.posts)*99/100]
	}
	return p, nil
}

// usage is the CPU time of each process; known says that the system tells.
type usage struct {
	client, server, worker, store time.Duration
	known                         bool
}

func (b *bench) usage() usage {
	var u usage
	var err1, err2, err3 error
	u.client, err1 = processCPU(os.Getpid())
	u.worker, err2 = b.worker.cpu()
	if b.server != nil {
		u.server, err3 = b.server.cpu()
	}
	var err4 error
	u.store, err4 = b.redis.cpu()
	u.known = err1 == nil && err2 == nil && err3 == nil && err4 == nil
	return u
}

func (p *Phase) setCPU(before, after usage) {
	if !before.known || !after.known {
		return
	}
	perJob := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(p.Jobs) }
	p.ClientCPU = perJob(after.client - before.client)
	p.ServerCPU = perJob(after.server - before.server)
	p.WorkerCPU = perJob(after.worker - before.worker)
	p.StoreCPU = perJob(after.store - before.store)
	p.CPU = p.ClientCPU + p.ServerCPU + p.WorkerCPU + p.StoreCPU
}

// bare posts the payload to the worker, as plainly as net/http can.
func (b *bench) bare(ctx context.Context) (details, error) {
	post := poster(b.Concurrency, b.worker.url+"/bare")
	return details{}, each(ctx, b.Progress, "bare", b.Concurrency, b.Jobs, func(int) error { return post(ctx, b.payload) })
}

// batches enqueues in batches and waits until all have succeeded.
func (b *bench) batches(ctx context.Context) (details, error) {
	post := poster(posters, b.server.url+"/v1/jobs/batch")
	began := time.Now()
	n := (b.Jobs + b.Batch - 1) / b.Batch
	err := each(ctx, b.Progress, "batches", posters, n, func(i int) error {
		return post(ctx, batchBody(batchQueue, b.payload, min(b.Batch, b.Jobs-i*b.Batch)))
	})
	d := details{accepted: time.Since(began)}
	if err != nil {
		return d, err
	}
	return d, b.untilSucceeded(ctx, "batches", batchQueue)
}

// singles enqueues one job with each POST and waits until all have succeeded.
func (b *bench) singles(ctx context.Context) (details, error) {
	post := poster(b.Singles, b.server.url+"/v1/jobs")
	body := jobBody(nil, singleQueue, "", b.payload)
	d := details{posts: make([]time.Duration, b.Jobs)}
	began := time.Now()
	err := each(ctx, b.Progress, "singles", b.Singles, b.Jobs, func(i int) error {
		sent := time.Now()
		err := post(ctx, body)
		d.posts[i] = time.Since(sent)
		return err
	})
	d.accepted = time.Since(began)
	if err != nil {
		return d, err
	}
	return d, b.untilSucceeded(ctx, "singles", singleQueue)
}

// each calls do for 0 to n-1 from so many goroutines, until one fails.
func each(ctx context.Context, progress func(string, int, int), phase string, at, n int, do func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(at, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return context.Cause(ctx)
		case <-tick.C:
			progress(phase, min(int(next.Load()), n), n)
		}
	}
}

// poster returns a function that posts a body to url over at most so many
// connections.
func poster(connections int, url string) func(context.Context, []byte) error {
	h := &http.Client{Transport: &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections, DisableCompression: true}}
	return func(ctx context.Context, body []byte) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := h.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusAccepted {
			said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
			return fmt.Errorf("POST %s: %s: %s", url, resp.Status, said)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
}

// untilSucceeded looks at the queue until all its jobs have succeeded, and
// fails where one has ended otherwise.
func (b *bench) untilSucceeded(ctx context.Context, phase, queue string) error {
	for {
		q, err := b.api.Queue(ctx, queue)
		if err != nil {
			return err
		}
		succeeded := int(q.Counts[job.Succeeded.String()])
		if succeeded >= b.Jobs {
			return nil
		}
		for _, status := range []job.Status{job.Dead, job.Cancelled, job.Expired} {
			if n := q.Counts[status.String()]; n > 0 {
				return fmt.Errorf("%d jobs are %s; see: orchestrix jobs list", n, status)
			}
		}
		b.Progress(phase+" succeeded", succeeded, b.Jobs)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *bench) counts(ctx context.Context) (Counts, error) {
	var c Counts
	return c, getJSON(ctx, b.worker.url+"/counts", &c)
}

// getJSON reads what a worker reports.
func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// payload returns a JSON object of exactly that size, at least 16 bytes.
func payload(size int) []byte {
	const frame = `{"data":""}`
	return []byte(`{"data":"` + string(bytes.Repeat([]byte("x"), max(size, 16)-len(frame))) + `"}`)
}

func batchBody(queue string, payload []byte, n int) []byte {
	body := make([]byte, 0, n*(len(payload)+80)+16)
	body = append(body, `{"jobs":[`...)
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		body = jobBody(body, queue, "", payload)
	}
	return append(body, `]}`...)
}

// jobBody appends a job, with a key unless that is empty.
func jobBody(dst []byte, queue, key string, payload []byte) []byte {
	dst = append(dst, `{"queue":`...)
	dst = strconv.AppendQuote(dst, queue)
	if key != "" {
		dst = append(dst, `,"key":`...)
		dst = strconv.AppendQuote(dst, key)
	}
	dst = append(dst, `,"type":"bench","payload":`...)
	return append(append(dst, payload...), '}')
}
