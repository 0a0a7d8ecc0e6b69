package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/webhook"
)

// PairOptions are what two servers are compared with; all must be set.
type PairOptions struct {
	// Executable, Dir, Batch and Progress are as in Options.
	Executable, Dir string
	Batch           int
	Progress        func(phase string, done, all int)
	// Jobs is the number of jobs of each measurement, Payload their size in
	// bytes.
	Jobs, Payload int
	// Rounds is how many times both are measured.
	Rounds int
}

// pair is two servers that get the same number of jobs in turn, which the same
// worker answers. So each measurement of one has one of the other that was taken
// just before.
type pair struct {
	PairOptions
	secret string
	worker *process
	sides  [2]*side
	jobs   [][]byte // payloads that differ and do not compress
}

// side is one of the two servers.
type side struct {
	*server
	name string
	// place is where the i-th job of a round goes.
	place func(i int) (queue, key string)
	// workers are the names under which the worker is registered: the jobs wait
	// while all of them are paused.
	workers []string
	memory  []Memory
}

// maxWorkerQueues is how many queues one registration of a worker may have.
const maxWorkerQueues = 100

// newPair starts worker and servers; stop ends them.
func newPair(ctx context.Context, o PairOptions, sides ...*side) (*pair, error) {
	p := &pair{PairOptions: o, secret: webhook.NewSecret().Reveal(), jobs: payloads(o.Batch, o.Payload)}
	var err error
	if p.worker, err = startWorker(ctx, o.Executable, p.secret); err != nil {
		return nil, err
	}
	for i, s := range sides {
		if s.server, err = startServer(ctx, o.Executable, o.Dir); err != nil {
			p.stop()
			return nil, err
		}
		p.sides[i] = s
	}
	return p, nil
}

func (p *pair) stop() {
	for _, s := range p.sides {
		if s != nil {
			s.server.stop()
		}
	}
	p.worker.stop()
}

// register has the worker serve the queues of a side, in as many registrations as
// it takes, all paused.
func (p *pair) register(ctx context.Context, s *side, queues []string, config client.WorkerConfig) error {
	config.URL, config.SigningSecret = p.worker.url+"/signed", p.secret
	for first := 0; first < len(queues); first += maxWorkerQueues {
		name := "bench-" + strconv.Itoa(len(s.workers))
		config.Queues = queues[first:min(first+maxWorkerQueues, len(queues))]
		if _, err := s.api.PutWorker(ctx, name, config); err != nil {
			return err
		}
		s.workers = append(s.workers, name)
	}
	return s.hold(ctx)
}

// hold pauses the registrations of the worker.
func (s *side) hold(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, name string) error {
		_, err := s.api.PauseWorker(ctx, name, "the jobs of a round are enqueued")
		return err
	})
}

// release resumes them.
func (s *side) release(ctx context.Context) error {
	return s.each(ctx, func(ctx context.Context, name string) error {
		_, err := s.api.ResumeWorker(ctx, name)
		return err
	})
}

// each calls do for all registrations at once, as they are one worker.
func (s *side) each(ctx context.Context, do func(ctx context.Context, name string) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, name := range s.workers {
		all.Go(func() error { return do(ctx, name) })
	}
	return all.Wait()
}

// rounds measures both sides in turn: how fast jobs are enqueued while nothing is
// pushed, and how fast they are dispatched then, until all are recorded.
func (p *pair) rounds(ctx context.Context) ([]Series, error) {
	var in, out [2][]Sample
	for round := range p.Rounds {
		for i, s := range p.sides {
			phase := fmt.Sprintf("round %d of %d, %s", round+1, p.Rounds, s.name)
			enqueued, dispatched, err := p.round(ctx, s, phase)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", phase, err)
			}
			in[i], out[i] = append(in[i], enqueued), append(out[i], dispatched)
			s.memory = append(s.memory, s.server.memory(fmt.Sprintf("%s, round %d", s.name, round+1))...)
		}
	}
	first, second := p.sides[0].name, p.sides[1].name
	series := append(compared("enqueue, "+first, in[0], "enqueue, "+second, in[1]),
		compared("dispatch, "+first, out[0], "dispatch, "+second, out[1])...)
	return series, p.check(ctx)
}

func (p *pair) round(ctx context.Context, s *side, phase string) (enqueued, dispatched Sample, err error) {
	if enqueued, err = s.sample(func() (int, error) { return p.Jobs, p.enqueue(ctx, s, phase) }); err != nil {
		return enqueued, dispatched, err
	}
	if err := s.settle(ctx); err != nil { // what the store has left to sort is not the dispatcher's
		return enqueued, dispatched, err
	}
	before, err := s.settled(ctx)
	if err != nil {
		return enqueued, dispatched, err
	}
	dispatched, err = s.sample(func() (int, error) {
		if err := s.release(ctx); err != nil {
			return 0, err
		}
		return p.Jobs, p.until(ctx, s, phase, before+p.Jobs)
	})
	if err != nil {
		return enqueued, dispatched, err
	}
	return enqueued, dispatched, s.hold(ctx)
}

func (p *pair) enqueue(ctx context.Context, s *side, phase string) error {
	batches := (p.Jobs + p.Batch - 1) / p.Batch
	return each(ctx, p.Progress, phase+", batches", posters, batches, func(i int) error {
		return s.batch(ctx, p.body(s, i*p.Batch, min((i+1)*p.Batch, p.Jobs)))
	})
}

// body is the batch of the jobs from first up to end of a round.
func (p *pair) body(s *side, first, end int) []byte {
	body := append(make([]byte, 0, (end-first)*(p.Payload+120)+16), `{"jobs":[`...)
	for i := first; i < end; i++ {
		if i > first {
			body = append(body, ',')
		}
		queue, key := s.place(i)
		body = jobBody(body, queue, key, p.jobs[i-first])
	}
	return append(body, `]}`...)
}

// until waits until so many jobs of a side have succeeded.
func (p *pair) until(ctx context.Context, s *side, phase string, n int) error {
	for {
		settled, err := s.settled(ctx)
		if err != nil || settled >= n {
			return err
		}
		p.Progress(phase+", succeeded", p.Jobs-(n-settled), p.Jobs)
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// check makes sure that each job has arrived, signed.
func (p *pair) check(ctx context.Context) error {
	var c Counts
	all := p.Jobs * p.Rounds * len(p.sides)
	switch err := getJSON(ctx, p.worker.url+"/counts", &c); {
	case err != nil:
		return err
	case c.Unsigned > 0:
		return fmt.Errorf("%d pushes were not signed, or wrongly", c.Unsigned)
	case c.Distinct != all:
		return fmt.Errorf("the worker received %d distinct jobs of %d", c.Distinct, all)
	}
	return nil
}

// settled returns how many jobs of a server are recorded as succeeded. To read it
// from the metrics costs the same however many queues there are.
func (s *server) settled(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return succeededIn(text)
}

// succeededIn reads the number of succeeded jobs out of a server's metrics; any
// that has ended otherwise is an error.
func succeededIn(metrics []byte) (succeeded int, err error) {
	found := false
	for line := range bytes.Lines(metrics) {
		rest, ok := strings.CutPrefix(string(line), `orchestrix_jobs_settled_total{status="`)
		if !ok {
			continue
		}
		status, number, _ := strings.Cut(rest, `"} `)
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		switch {
		case err != nil:
			return 0, fmt.Errorf("metrics: %w", err)
		case status == "succeeded":
			succeeded, found = int(n), true
		case n > 0:
			return 0, fmt.Errorf("%d jobs are %s", int(n), status)
		}
	}
	if !found {
		return 0, errors.New("the metrics do not tell how many jobs have succeeded")
	}
	return succeeded, nil
}
