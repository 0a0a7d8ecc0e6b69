package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// BacklogOptions are what the backlog benchmark is made of; all must be set but
// Drain.
type BacklogOptions struct {
	// Executable, Dir, Concurrency, Batch and Progress are as in Options.
	Executable, Dir    string
	Concurrency, Batch int
	Progress           func(phase string, done, all int)
	// Jobs is the length of the backlog, Base what it is compared with and the
	// size of each sample. Payload is the jobs' size in bytes.
	Jobs, Base, Payload int
	// Rounds is how many times each rate is measured.
	Rounds int
	// Drain has the backlog pushed to its end.
	Drain bool
}

// BacklogReport is the result of RunBacklog.
type BacklogReport struct {
	Jobs        int      `json:"jobs"`
	Base        int      `json:"base"`
	Payload     int      `json:"payload_bytes"`
	Concurrency int      `json:"concurrency"`
	Batch       int      `json:"batch"`
	CPUs        int      `json:"cpus"`
	Go          string   `json:"go"`
	Phases      []Series `json:"phases"`
	// Memory is that of the server with the backlog; empty where the system does
	// not tell.
	Memory []Memory `json:"memory"`
}

const backlogQueue = "bench-backlog"

// backlog is one such benchmark on its way.
type backlog struct {
	BacklogOptions
	worker *process
	// jobs are payloads that differ and do not compress: a store that makes a
	// million equal ones small would be measured for what no client sends.
	jobs   [][]byte
	report BacklogReport
}

// RunBacklog fills one server with the backlog while its queue is paused, and
// keeps another one beside it whose queue is empty. Then, in turn on both: a
// slice of jobs is enqueued while the queue is paused, and the queue is resumed
// until as many have succeeded. So each rate at the backlog has one without it
// that was measured a second before.
func RunBacklog(ctx context.Context, o BacklogOptions) (*BacklogReport, error) {
	secret := webhook.NewSecret().Reveal()
	b := &backlog{BacklogOptions: o, jobs: payloads(o.Batch, o.Payload), report: BacklogReport{
		Jobs: o.Jobs, Base: o.Base, Payload: o.Payload, Concurrency: o.Concurrency, Batch: o.Batch,
		CPUs: runtime.NumCPU(), Go: runtime.Version(),
	}}
	var err error
	if b.worker, err = startWorker(ctx, o.Executable, secret); err != nil {
		return nil, err
	}
	defer b.worker.stop()
	empty, err := b.server(ctx, secret)
	if err != nil {
		return nil, err
	}
	defer empty.stop()
	full, err := b.server(ctx, secret)
	if err != nil {
		return nil, err
	}
	defer full.stop()
	if err := b.run(ctx, empty, full); err != nil {
		return nil, err
	}
	return &b.report, nil
}

// server starts a server whose queue is served by the worker, and paused.
func (b *backlog) server(ctx context.Context, secret string) (*server, error) {
	s, err := startServer(ctx, b.Executable, b.Dir)
	if err != nil {
		return nil, err
	}
	_, err1 := s.api.PutQueue(ctx, backlogQueue, client.QueueConfig{Concurrency: b.Concurrency, Ramp: job.Off})
	_, err2 := s.api.PauseQueue(ctx, backlogQueue, "the backlog is being built")
	_, err3 := s.api.PutWorker(ctx, "bench", client.WorkerConfig{
		URL: b.worker.url + "/signed", Queues: []string{backlogQueue}, SigningSecret: secret,
	})
	if err := errors.Join(err1, err2, err3); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (b *backlog) run(ctx context.Context, empty, full *server) error {
	b.remember(full, "start")
	if err := b.fill(ctx, full); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	b.remember(full, "fill")
	pushed, err := b.rounds(ctx, empty, full)
	if err != nil {
		return err
	}
	b.remember(full, "rounds")
	if b.Drain {
		if err := b.drain(ctx, full); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		b.remember(full, "drain")
		pushed = b.Jobs + 2*b.Rounds*b.Base
	}
	return b.check(ctx, pushed)
}

// fill builds the backlog in slices, of which the first and the last tenth tell
// whether it became slower on the way, and lets the store sort it: the rounds
// would otherwise pay for what the fill has left to do.
func (b *backlog) fill(ctx context.Context, s *server) error {
	var slices []Sample
	began := s.mark()
	for done := 0; done < b.Jobs; done += b.Base {
		n := min(b.Base, b.Jobs-done)
		slice, err := s.sample(func() (int, error) { return n, b.enqueue(ctx, s, "", n) })
		if err != nil {
			return err
		}
		slices = append(slices, slice)
		b.Progress("fill", done+n, b.Jobs)
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	tenth := max(len(slices)/10, 1)
	b.report.Phases = append(b.report.Phases, compared("fill, first tenth", slices[:tenth], "fill, last tenth", slices[len(slices)-tenth:])...)
	b.report.Phases = append(b.report.Phases, newSeries("fill, until at rest", []Sample{s.since(began, b.Jobs)}))
	return nil
}

// rounds measures both servers in turn and returns how many jobs were pushed at
// least.
func (b *backlog) rounds(ctx context.Context, empty, full *server) (pushed int, err error) {
	var in, out [2][]Sample
	for round := range b.Rounds {
		for i, s := range []*server{empty, full} {
			phase := fmt.Sprintf("round %d of %d, %s", round+1, b.Rounds, []string{"no backlog", "backlog"}[i])
			enqueued, dispatched, err := b.round(ctx, s, phase)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", phase, err)
			}
			in[i], out[i] = append(in[i], enqueued), append(out[i], dispatched)
			pushed += dispatched.Jobs
		}
	}
	base, all := fmt.Sprintf("at %d", b.Base), fmt.Sprintf("at %d", b.Jobs)
	b.report.Phases = append(b.report.Phases, compared("enqueue "+base, in[0], "enqueue "+all, in[1])...)
	b.report.Phases = append(b.report.Phases, compared("dispatch "+base, out[0], "dispatch "+all, out[1])...)
	return pushed, nil
}

// round enqueues a slice, and pushes as many jobs.
func (b *backlog) round(ctx context.Context, s *server, phase string) (enqueued, dispatched Sample, err error) {
	enqueued, err = s.sample(func() (int, error) { return b.Base, b.enqueue(ctx, s, phase, b.Base) })
	if err != nil {
		return enqueued, dispatched, err
	}
	before, err := s.succeeded(ctx, backlogQueue)
	if err != nil {
		return enqueued, dispatched, err
	}
	dispatched, err = s.sample(func() (int, error) {
		if _, err := s.api.ResumeQueue(ctx, backlogQueue); err != nil {
			return 0, err
		}
		return b.until(ctx, s, phase, before, b.Base)
	})
	if err != nil {
		return enqueued, dispatched, err
	}
	if _, err := s.api.PauseQueue(ctx, backlogQueue, "a slice has been pushed"); err != nil {
		return enqueued, dispatched, err
	}
	return enqueued, dispatched, s.rest(ctx, backlogQueue)
}

// enqueue sends n jobs in batches. An empty phase shows no progress.
func (b *backlog) enqueue(ctx context.Context, s *server, phase string, n int) error {
	progress := func(_ string, done, all int) {
		if phase != "" {
			b.Progress(phase+", batches", done, all)
		}
	}
	batches := (n + b.Batch - 1) / b.Batch
	return each(ctx, progress, phase, posters, batches, func(i int) error {
		return s.batch(ctx, b.body(min(b.Batch, n-i*b.Batch)))
	})
}

// body is a batch of n jobs with different payloads.
func (b *backlog) body(n int) []byte {
	body := append(make([]byte, 0, n*(b.Payload+80)+16), `{"jobs":[`...)
	for i, p := range b.jobs[:n] {
		if i > 0 {
			body = append(body, ',')
		}
		body = jobBody(body, backlogQueue, "", p)
	}
	return append(body, `]}`...)
}

// payloads returns n JSON objects of random text, each of that size.
func payloads(n, size int) [][]byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(1, uint64(size)))
	all := make([][]byte, n)
	for i := range all {
		all[i] = payload(size)
		for at := range all[i] {
			if all[i][at] == 'x' {
				all[i][at] = letters[random.IntN(len(letters))]
			}
		}
	}
	return all
}

// drain pushes what is left.
func (b *backlog) drain(ctx context.Context, s *server) error {
	before, err := s.succeeded(ctx, backlogQueue)
	if err != nil {
		return err
	}
	left := b.Jobs + b.Rounds*b.Base - before
	all, err := s.sample(func() (int, error) {
		if _, err := s.api.ResumeQueue(ctx, backlogQueue); err != nil {
			return 0, err
		}
		return b.until(ctx, s, "drain", before, left)
	})
	if err != nil {
		return err
	}
	b.report.Phases = append(b.report.Phases, newSeries("drain", []Sample{all}))
	return nil
}

// until waits until n more jobs than before have succeeded, and returns how many
// it were.
func (b *backlog) until(ctx context.Context, s *server, phase string, before, n int) (int, error) {
	for {
		succeeded, err := s.succeeded(ctx, backlogQueue)
		if done := succeeded - before; err != nil || done >= n {
			return done, err
		}
		b.Progress(phase+", succeeded", succeeded-before, n)
		if err := pause(ctx); err != nil {
			return 0, err
		}
	}
}

// succeeded returns how many of a queue's jobs have succeeded; any that has ended
// otherwise is an error.
func (s *server) succeeded(ctx context.Context, queue string) (int, error) {
	q, err := s.api.Queue(ctx, queue)
	if err != nil {
		return 0, err
	}
	for _, status := range []job.Status{job.Dead, job.Cancelled, job.Expired} {
		if n := q.Counts[status.String()]; n > 0 {
			return 0, fmt.Errorf("%d jobs are %s", n, status)
		}
	}
	return int(q.Counts[job.Succeeded.String()]), nil
}

// rest waits until nothing of a paused queue is in flight.
func (s *server) rest(ctx context.Context, queue string) error {
	for {
		q, err := s.api.Queue(ctx, queue)
		if err != nil || q.InFlight == 0 {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// pause is how long a benchmark waits before it looks again: short beside what
// it measures, long beside what looking costs the server.
func pause(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remember notes the memory of a server.
func (b *backlog) remember(s *server, after string) {
	b.report.Memory = append(b.report.Memory, s.memory(after)...)
}

// check makes sure that the pushes that were counted have arrived, signed.
func (b *backlog) check(ctx context.Context, pushed int) error {
	var c Counts
	err := getJSON(ctx, b.worker.url+"/counts", &c)
	switch {
	case err != nil:
		return err
	case c.Unsigned > 0:
		return fmt.Errorf("%d pushes were not signed, or wrongly", c.Unsigned)
	case c.Distinct < pushed:
		return fmt.Errorf("the worker received %d distinct jobs of %d", c.Distinct, pushed)
	}
	return nil
}
