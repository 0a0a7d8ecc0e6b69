package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// IsolationOptions are what the isolation benchmark is made of; all must be set.
type IsolationOptions struct {
	// Executable, Dir and Progress are as in Options.
	Executable, Dir string
	Progress        func(phase string, done, all int)
	// Rate is how many jobs a second are enqueued, one by one, whatever becomes
	// of them: an open loop.
	Rate int
	// Phase is how long one measurement takes, Rounds how many there are of each
	// setting.
	Phase  time.Duration
	Rounds int
	// Hang is the timeout of the worker that never answers.
	Hang time.Duration
	// Jobs is how many jobs are enqueued for it.
	Jobs int
}

// IsolationReport is the result of RunIsolation.
type IsolationReport struct {
	Rate     int                `json:"jobs_per_second"`
	Phase    time.Duration      `json:"phase_ns"`
	Hang     time.Duration      `json:"hang_ns"`
	Jobs     int                `json:"hanging_jobs"`
	CPUs     int                `json:"cpus"`
	Go       string             `json:"go"`
	Settings []IsolationSetting `json:"settings"`
}

// IsolationSetting is what was measured of the quick queue in one setting.
type IsolationSetting struct {
	Name string `json:"name"`
	// Queue is the hanging queue; empty where there is none.
	Queue  string    `json:"hanging_queue,omitempty"`
	Rounds []Latency `json:"rounds"`
	// P50 and P99 are the rounds' medians.
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	// P50Ratio and P99Ratio compare with those of the quick queue alone: 1 is as
	// if nothing hung, less is better.
	P50Ratio float64 `json:"p50_ratio"`
	P99Ratio float64 `json:"p99_ratio"`
}

// Latency is the time of jobs from the beginning of their enqueue call to the
// worker's having read them.
type Latency struct {
	Jobs int           `json:"jobs"`
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	Max  time.Duration `json:"max_ns"`
	// Hanging is how many pushes hung when the measurement was over, TimedOut how
	// many had ended so during it.
	Hanging  int   `json:"hanging"`
	TimedOut int64 `json:"timed_out"`
}

const (
	quickQueue    = "bench-quick"
	hangingWorker = "hanging"
	// isolationShards is the shard count of a new store.
	isolationShards = 64
	// warmUp is sent before anything is measured: connections are opened then.
	warmUp = 2 * time.Second
	// deliveryWait bounds how long the last jobs of a phase may take.
	deliveryWait = 30 * time.Second
)

// isolation is one such benchmark on its way.
type isolation struct {
	IsolationOptions
	quick, hanging *process
	phases         int
}

// setting is a server with or without a hanging queue.
type setting struct {
	*server
	IsolationSetting
}

// RunIsolation measures the latency of a quick queue on three servers in turn:
// alone, beside a queue whose worker hangs in another shard, and in the same
// one. The pushes hang all the time, so that rounds see them begin, hang and
// time out.
func RunIsolation(ctx context.Context, o IsolationOptions) (*IsolationReport, error) {
	secret := webhook.NewSecret().Reveal()
	b := &isolation{IsolationOptions: o}
	for _, p := range []**process{&b.quick, &b.hanging} {
		var err error
		if *p, err = startWorker(ctx, o.Executable, secret); err != nil {
			return nil, err
		}
		defer (*p).stop()
	}
	settings := []*setting{
		{IsolationSetting: IsolationSetting{Name: "alone"}},
		{IsolationSetting: IsolationSetting{Name: "hanging, other shard", Queue: queueBeside(quickQueue, isolationShards, false)}},
		{IsolationSetting: IsolationSetting{Name: "hanging, same shard", Queue: queueBeside(quickQueue, isolationShards, true)}},
	}
	for _, s := range settings {
		var err error
		if s.server, err = startServer(ctx, o.Executable, o.Dir); err != nil {
			return nil, err
		}
		defer s.server.stop()
		if err := b.prepare(ctx, s, secret); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return b.run(ctx, settings)
}

// queueBeside returns a queue's name that falls into the same shard as another
// one, or into any other.
func queueBeside(queue string, shards int, same bool) string {
	for n := 0; ; n++ {
		name := "bench-hanging-" + strconv.Itoa(n)
		if (job.ShardOf(name, shards) == job.ShardOf(queue, shards)) == same {
			return name
		}
	}
}

// prepare registers the workers, has the hanging queue hang, and warms up.
func (b *isolation) prepare(ctx context.Context, s *setting, secret string) error {
	_, err := s.api.PutWorker(ctx, "quick", client.WorkerConfig{
		URL: b.quick.url + "/timed", Queues: []string{quickQueue}, SigningSecret: secret,
	})
	if err != nil {
		return err
	}
	if s.Queue != "" {
		if err := b.hang(ctx, s, secret); err != nil {
			return err
		}
	}
	_, err = b.measure(ctx, s, "warm-up", warmUp)
	return err
}

// hang fills the hanging queue and returns when its first pushes hang.
func (b *isolation) hang(ctx context.Context, s *setting, secret string) error {
	_, err := s.api.PutWorker(ctx, hangingWorker, client.WorkerConfig{
		URL: b.hanging.url + "/hang", Queues: []string{s.Queue}, SigningSecret: secret, Timeout: job.Duration(b.Hang),
	})
	if err != nil {
		return err
	}
	const batch = 500
	for done := 0; done < b.Jobs; done += batch {
		if err := s.batch(ctx, batchBody(s.Queue, payload(1024), min(batch, b.Jobs-done))); err != nil {
			return err
		}
	}
	for {
		n, _, err := s.hanging(ctx)
		if err != nil || n > 0 {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// hanging returns how many pushes hang, and how many have timed out since the
// server started.
func (s *setting) hanging(ctx context.Context) (inFlight int, timedOut int64, err error) {
	if s.Queue == "" {
		return 0, 0, nil
	}
	w, err := s.api.Worker(ctx, hangingWorker)
	if err != nil {
		return 0, 0, err
	}
	return w.InFlight, w.Failed, nil
}

func (b *isolation) run(ctx context.Context, settings []*setting) (*IsolationReport, error) {
	for round := range b.Rounds {
		for i := range settings {
			// Each round begins with another setting, or one of them would see all
			// the time-outs where their period is a round's.
			s := settings[(round+i)%len(settings)]
			l, err := b.measure(ctx, s, fmt.Sprintf("round %d of %d, %s", round+1, b.Rounds, s.Name), b.Phase)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			s.Rounds = append(s.Rounds, l)
		}
	}
	report := &IsolationReport{
		Rate: b.Rate, Phase: b.Phase, Hang: b.Hang, Jobs: b.Jobs, CPUs: runtime.NumCPU(), Go: runtime.Version(),
	}
	for _, s := range settings {
		s.compare(settings[0].Rounds)
		report.Settings = append(report.Settings, s.IsolationSetting)
	}
	return report, nil
}

// measure sends jobs for that long and returns how long they took.
func (b *isolation) measure(ctx context.Context, s *setting, name string, length time.Duration) (Latency, error) {
	b.phases++
	phase := b.phases
	_, before, err := s.hanging(ctx)
	if err != nil {
		return Latency{}, err
	}
	sent, err := b.arrive(ctx, s.server, phase, name, length)
	if err != nil {
		return Latency{}, err
	}
	hanging, timedOut, err := s.hanging(ctx)
	if err != nil {
		return Latency{}, err
	}
	if s.Queue != "" && hanging == 0 {
		return Latency{}, errors.New("no push hangs any more: enqueue more jobs for it")
	}
	times, err := b.delivered(ctx, phase, sent)
	if err != nil {
		return Latency{}, err
	}
	return Latency{
		Jobs: len(times), P50: quantile(times, 0.5), P99: quantile(times, 0.99), Max: times[len(times)-1],
		Hanging: hanging, TimedOut: timedOut - before,
	}, nil
}

// arrive enqueues jobs at the rate, each at its time whether or not those before
// are through, and returns their number.
func (b *isolation) arrive(ctx context.Context, s *server, phase int, name string, length time.Duration) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n := max(int(length.Seconds()*float64(b.Rate)), 1)
	every := time.Second / time.Duration(b.Rate)
	began := time.Now()
	var all sync.WaitGroup
	for i := range n {
		if i%b.Rate == 0 {
			b.Progress(name, i, n)
		}
		select {
		case <-time.After(time.Until(began.Add(time.Duration(i) * every))):
		case <-ctx.Done():
			all.Wait()
			return 0, context.Cause(ctx)
		}
		all.Go(func() {
			if err := s.single(ctx, timedJob(phase, time.Now())); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return n, context.Cause(ctx)
}

func timedJob(phase int, sent time.Time) []byte {
	payload, err := json.Marshal(timed{phase, sent.UnixNano()})
	if err != nil {
		panic(err) // two numbers can always be written
	}
	return jobBody(nil, quickQueue, payload)
}

// delivered returns the times of a phase's jobs once all of them have arrived.
func (b *isolation) delivered(ctx context.Context, phase, sent int) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryWait)
	defer cancel()
	for {
		var times []time.Duration
		err := getJSON(ctx, b.quick.url+"/timings/"+strconv.Itoa(phase), &times)
		if err != nil || len(times) >= sent {
			return times, err
		}
		if pause(ctx) != nil {
			return nil, fmt.Errorf("%d of %d jobs were delivered within %s", len(times), sent, deliveryWait)
		}
	}
}

// compare takes the medians of both before their ratio: the slowest hundredth of
// one short phase says more about the machine in that second than about what it
// is compared with.
func (s *IsolationSetting) compare(alone []Latency) {
	p50, p99 := func(l Latency) time.Duration { return l.P50 }, func(l Latency) time.Duration { return l.P99 }
	s.P50, s.P99 = medianOf(s.Rounds, p50), medianOf(s.Rounds, p99)
	s.P50Ratio = float64(s.P50) / float64(medianOf(alone, p50))
	s.P99Ratio = float64(s.P99) / float64(medianOf(alone, p99))
}
