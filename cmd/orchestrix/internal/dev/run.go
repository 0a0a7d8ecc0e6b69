package dev

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/terminal"
	"github.com/orchestrix/orchestrix/webhook"
)

// Options are what a run is made of.
type Options struct {
	// API is the server that the samples go to. It must allow pushes to loopback.
	API *client.Client
	// Terminal shows the run.
	Terminal *terminal.Terminal
	// URLs are workers of the user's own; without any a sample worker is started.
	URLs []string
	// Exit ends the run when the first round of samples has ended; without it
	// sample jobs are enqueued until the context ends.
	Exit bool
	// Timeout bounds a run with Exit; 0 means DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is many times what the slowest sample takes.
const DefaultTimeout = time.Minute

const (
	// refreshEvery is fast enough to look live, and slow enough that a person can
	// read.
	refreshEvery = 200 * time.Millisecond
	// streamEvery is the mean time between two jobs of the stream.
	streamEvery = 400 * time.Millisecond
	// remembered bounds the jobs that a stream keeps looking at.
	remembered = 200
)

// ErrUnexpected says that a sample did not end as it has to.
var ErrUnexpected = errors.New("some sample jobs did not end as expected")

// run is one run on its way.
type run struct {
	Options
	samples []Sample
	worker  *sampleWorker
	names   []string // the workers that were registered
	round   *round
	view    *view
}

// Run registers the workers, enqueues the samples and shows them. With Exit it
// returns the summary, and ErrUnexpected where it is not OK; without it ends
// with the context and without error.
func Run(ctx context.Context, o Options) (Summary, error) {
	r := &run{Options: o, samples: Samples(), round: newRound(o.API)}
	defer r.close(ctx)
	head, err := r.startWorkers(ctx)
	if err != nil {
		return Summary{}, err
	}
	r.view = newView(o.Terminal, head)
	for i := range r.samples {
		if err := r.round.add(ctx, &r.samples[i], r.samples[i].Count); err != nil {
			return Summary{}, err
		}
	}
	if o.Exit {
		return r.untilEnded(ctx)
	}
	return Summary{}, r.stream(ctx)
}

// startWorkers registers the user's workers, or a sample worker, and returns
// what to say of them.
func (r *run) startWorkers(ctx context.Context) ([]string, error) {
	head := []string{"server   " + r.API.URL()}
	secret := webhook.NewSecret()
	if len(r.URLs) == 0 {
		var err error
		if r.worker, err = startSampleWorker(ctx, secret, r.samples); err != nil {
			return nil, err
		}
		head = append(head, "worker   "+r.worker.server.URL()+" (sample, verifies each push)")
		return head, r.register(ctx, "dev-sample", r.worker.server.URL(), secret)
	}
	for i, url := range r.URLs {
		if err := r.register(ctx, fmt.Sprintf("dev-%d", i+1), url, secret); err != nil {
			return nil, err
		}
		head = append(head, "worker   "+url)
	}
	return append(head, "secret   "+secret.Reveal()+" (verify pushes with it)"), nil
}

func (r *run) register(ctx context.Context, name, url string, secret webhook.Secret) error {
	config := client.WorkerConfig{URL: url, Queues: servedQueues(), SigningSecret: secret.Reveal()}
	r.names = append(r.names, name) // before it is: the answer may never come
	_, err := r.API.PutWorker(ctx, name, config)
	return err
}

// close takes the workers back, also after the context has ended.
func (r *run) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	for _, name := range r.names {
		if err := r.API.DeleteWorker(ctx, name); err != nil && !client.HasStatus(err, http.StatusNotFound) {
			r.Terminal.Note("worker %s is still registered: %v", name, err)
		}
	}
	if r.worker != nil {
		if err := r.worker.server.Close(ctx, time.Second); err != nil {
			r.Terminal.Note("the sample worker: %v", err)
		}
	}
}

// untilEnded shows the first round until all of it has ended.
func (r *run) untilEnded(ctx context.Context) (Summary, error) {
	timeout := r.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for r.round.open() > 0 && waiting.Err() == nil {
		if err := r.refresh(waiting); err != nil && waiting.Err() == nil {
			return Summary{}, err
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
		}
	}
	if ctx.Err() != nil {
		return Summary{}, ctx.Err()
	}
	return r.summary()
}

func (r *run) summary() (Summary, error) {
	s := summarize(r.round, r.samples, r.worker != nil)
	if r.worker != nil {
		s.Pushes, s.Refused = r.worker.pushes.Load(), r.worker.refused.Load()
		s.OK = s.OK && s.Refused == 0
	}
	if !s.OK {
		return s, ErrUnexpected
	}
	return s, nil
}

// stream goes on enqueuing jobs, one at a time, until the context ends.
func (r *run) stream(ctx context.Context) error {
	refresh, next := time.NewTicker(refreshEvery), time.NewTimer(streamEvery)
	defer refresh.Stop()
	defer next.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-refresh.C:
			err = r.refresh(ctx)
			r.round.forget(remembered)
		case <-next.C:
			err = r.round.add(ctx, r.pick(), 1)
			next.Reset(streamEvery/2 + rand.N(streamEvery))
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// pick chooses a sample, each as often as its count says.
func (r *run) pick() *Sample {
	total := 0
	for i := range r.samples {
		total += r.samples[i].Count
	}
	n := rand.IntN(total)
	for i := range r.samples {
		if n -= r.samples[i].Count; n < 0 {
			return &r.samples[i]
		}
	}
	return &r.samples[0]
}

func (r *run) refresh(ctx context.Context) error {
	changed, err := r.round.refresh(ctx)
	if err != nil {
		return err
	}
	var queues []client.Queue
	for q, err := range r.API.Queues(ctx) {
		if err != nil {
			return err
		}
		queues = append(queues, q)
	}
	return r.view.update(r.round, queues, changed)
}
