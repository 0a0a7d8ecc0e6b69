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
	// Phase is how long a round takes, Rounds how many there are.
	Phase  time.Duration
	Rounds int
	// Hang is the timeout of the worker that never answers.
	Hang time.Duration
	// Jobs is how many jobs are enqueued for it.
	Jobs int
	// Queues is how many quick queues share the rate, each with a worker of its own.
	Queues int
}

// IsolationReport is the result of RunIsolation.
type IsolationReport struct {
	Rate     int                `json:"jobs_per_second"`
	Phase    time.Duration      `json:"phase_ns"`
	Hang     time.Duration      `json:"hang_ns"`
	Jobs     int                `json:"hanging_jobs"`
	Queues   int                `json:"quick_queues"`
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
	// P50 and P99 are over the jobs of all rounds.
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
	settings       []*setting
	phases         int // given out so far
}

// setting is a server with or without a hanging queue.
type setting struct {
	*server
	IsolationSetting
	times []time.Duration // of all rounds
}

// quickQueue is one of the queues whose jobs are measured.
func quickQueue(i int) string { return "bench-quick-" + strconv.Itoa(i) }

// RunIsolation measures the latency of quick queues on three servers at once:
// alone, beside a queue whose worker hangs, in another shard than the first of
// them, and in the same one. Their jobs arrive by turns, milliseconds apart, so that what else the
// machine does disturbs all three alike: the slowest hundredth is mostly that.
func RunIsolation(ctx context.Context, o IsolationOptions) (*IsolationReport, error) {
	secret := webhook.NewSecret().Reveal()
	b := &isolation{IsolationOptions: o, settings: []*setting{
		{IsolationSetting: IsolationSetting{Name: "alone"}},
		{IsolationSetting: IsolationSetting{Name: "hanging, other shard", Queue: queueBeside(quickQueue(0), isolationShards, false)}},
		{IsolationSetting: IsolationSetting{Name: "hanging, same shard", Queue: queueBeside(quickQueue(0), isolationShards, true)}},
	}}
	for _, p := range []**process{&b.quick, &b.hanging} {
		var err error
		if *p, err = startWorker(ctx, o.Executable, secret); err != nil {
			return nil, err
		}
		defer (*p).stop()
	}
	for _, s := range b.settings {
		var err error
		if s.server, err = startServer(ctx, o.Executable, o.Dir); err != nil {
			return nil, err
		}
		defer s.server.stop()
		if err := b.prepare(ctx, s, secret); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return b.run(ctx)
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

// prepare registers the workers and has the hanging queue hang.
func (b *isolation) prepare(ctx context.Context, s *setting, secret string) error {
	for i := range b.Queues {
		_, err := s.api.PutWorker(ctx, fmt.Sprintf("quick-%d", i), client.WorkerConfig{
			URL: b.quick.url + "/timed", Queues: []string{quickQueue(i)}, SigningSecret: secret,
		})
		if err != nil {
			return err
		}
	}
	if s.Queue == "" {
		return nil
	}
	return b.hang(ctx, s, secret)
}

// hang fills the hanging queue and returns when its first pushes hang.
func (b *isolation) hang(ctx context.Context, s *setting, secret string) error {
	_, err := s.api.PutWorker(ctx, hangingWorker, client.WorkerConfig{
		URL: b.hanging.url + "/hang", Queues: []string{s.Queue}, SigningSecret: secret, Timeout: job.Duration(b.Hang),
		Circuit: &job.Circuit{Mode: job.Off}, // or it would be left alone, which costs nothing
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

func (b *isolation) run(ctx context.Context) (*IsolationReport, error) {
	if err := b.round(ctx, "warm-up", warmUp); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	for _, s := range b.settings {
		s.Rounds, s.times = nil, nil
	}
	for i := range b.Rounds {
		name := fmt.Sprintf("round %d of %d", i+1, b.Rounds)
		if err := b.round(ctx, name, b.Phase); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	report := &IsolationReport{
		Rate: b.Rate, Phase: b.Phase, Hang: b.Hang, Jobs: b.Jobs, Queues: b.Queues, CPUs: runtime.NumCPU(), Go: runtime.Version(),
	}
	for _, s := range b.settings {
		s.P50, s.P99 = quantile(s.times, 0.5), quantile(s.times, 0.99)
		s.compare(&b.settings[0].IsolationSetting)
		report.Settings = append(report.Settings, s.IsolationSetting)
	}
	return report, nil
}

func (s *IsolationSetting) compare(alone *IsolationSetting) {
	s.P50Ratio = float64(s.P50) / float64(alone.P50)
	s.P99Ratio = float64(s.P99) / float64(alone.P99)
}

// round sends jobs for that long to all settings, and notes how long they took.
func (b *isolation) round(ctx context.Context, name string, length time.Duration) error {
	first := b.phases
	b.phases += len(b.settings)
	before := make([]int64, len(b.settings))
	for i, s := range b.settings {
		var err error
		if _, before[i], err = s.hanging(ctx); err != nil {
			return err
		}
	}
	sent, err := b.arrive(ctx, first, name, length)
	if err != nil {
		return err
	}
	for i, s := range b.settings {
		times, err := b.delivered(ctx, first+i, sent)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if err := s.note(ctx, times, before[i]); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// note adds a round to a setting in which so many pushes had timed out before.
func (s *setting) note(ctx context.Context, times []time.Duration, before int64) error {
	hanging, timedOut, err := s.hanging(ctx)
	if err != nil {
		return err
	}
	if s.Queue != "" && hanging == 0 {
		return errors.New("no push hangs any more: enqueue more jobs for it")
	}
	s.times = append(s.times, times...)
	s.Rounds = append(s.Rounds, Latency{
		Jobs: len(times), P50: quantile(times, 0.5), P99: quantile(times, 0.99), Max: quantile(times, 1),
		Hanging: hanging, TimedOut: timedOut - before,
	})
	return nil
}

// arrive enqueues jobs at the rate for each setting, each at its time whether or
// not those before are through, and returns their number for each. The settings'
// phases begin with first.
func (b *isolation) arrive(ctx context.Context, first int, name string, length time.Duration) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n := max(int(length.Seconds()*float64(b.Rate)), 1)
	every := time.Second / time.Duration(b.Rate*len(b.settings))
	began := time.Now()
	var all sync.WaitGroup
	for i := range n * len(b.settings) {
		if i%b.Rate == 0 {
			b.Progress(name, i, n*len(b.settings))
		}
		select {
		case <-time.After(time.Until(began.Add(time.Duration(i) * every))):
		case <-ctx.Done():
			all.Wait()
			return 0, context.Cause(ctx)
		}
		k := inTurn(i, len(b.settings))
		all.Go(func() {
			if err := b.settings[k].single(ctx, timedJob(quickQueue(i/len(b.settings)%b.Queues), first+k, time.Now())); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return n, context.Cause(ctx)
}

// inTurn says which of n gets arrival i. Each has one of every n in a row, and
// each is the first of them equally often: who comes second finds a machine that
// the first has woken.
func inTurn(i, n int) int { return (i + i/n) % n }

func timedJob(queue string, phase int, sent time.Time) []byte {
	payload, err := json.Marshal(timed{phase, sent.UnixNano()})
	if err != nil {
		panic(err) // two numbers can always be written
	}
	return jobBody(nil, queue, "", payload)
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
