package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/webhook"
)

// Options are what a benchmark is made of; all must be set.
type Options struct {
	// Executable is the binary that worker and server are started from.
	Executable string
	// Dir is where the server's directory is made; it decides which disk is
	// fsynced.
	Dir string
	// Redis has the server keep its jobs in a redis-server, which is started from the
	// PATH, and not in its directory.
	Redis bool
	// Jobs is the number of jobs of each phase, Payload their size in bytes.
	Jobs, Payload int
	// Concurrency is that of the bare loop and of the queue alike.
	Concurrency int
	// Batch is how many jobs one POST of the batch phase holds.
	Batch int
	// Singles is how many clients send single POSTs.
	Singles int
	// Progress is told how far a phase is; it must not be nil.
	Progress func(phase string, done, all int)
}

// Phase is what was measured of one phase.
type Phase struct {
	Name string        `json:"name"`
	Jobs int           `json:"jobs"`
	Wall time.Duration `json:"wall_ns"`
	// Accepted is how long it took until the last job was acknowledged.
	Accepted time.Duration `json:"accepted_ns,omitempty"`
	Rate     float64       `json:"jobs_per_second"`
	// CPU is microseconds per job of all processes, and of each; 0 where the
	// system does not tell.
	CPU       float64 `json:"cpu_us_per_job"`
	ClientCPU float64 `json:"client_cpu_us_per_job"`
	ServerCPU float64 `json:"server_cpu_us_per_job"`
	WorkerCPU float64 `json:"worker_cpu_us_per_job"`
	StoreCPU  float64 `json:"store_cpu_us_per_job,omitempty"`
	// WallRatio is its rate and CPURatio its CPU's inverse, each over that of the
	// bare loop: 1 is as good as the bare loop.
	WallRatio float64 `json:"wall_ratio"`
	CPURatio  float64 `json:"cpu_ratio,omitempty"`
	// P50 and P99 are how long a single POST took to be acknowledged.
	P50 time.Duration `json:"post_p50_ns,omitempty"`
	P99 time.Duration `json:"post_p99_ns,omitempty"`
}

// Report is the result of a benchmark.
type Report struct {
	Jobs        int     `json:"jobs"`
	Payload     int     `json:"payload_bytes"`
	Concurrency int     `json:"concurrency"`
	Batch       int     `json:"batch"`
	Singles     int     `json:"single_clients"`
	CPUs        int     `json:"cpus"`
	Go          string  `json:"go"`
	Phases      []Phase `json:"phases"`
	Worker      Counts  `json:"worker"`
}

// bench is one benchmark on its way.
type bench struct {
	Options
	payload []byte
	worker  *process
	server  *process
	redis   *redisServer // nil where the store is embedded
	api     *client.Client
}

// Run carries out the phases one after the other.
func Run(ctx context.Context, o Options) (*Report, error) {
	secret := webhook.NewSecret().Reveal()
	b := &bench{Options: o, payload: payload(o.Payload)}
	var err error
	if b.worker, err = startWorker(ctx, o.Executable, secret); err != nil {
		return nil, err
	}
	defer b.worker.stop()
	report := &Report{
		Jobs: o.Jobs, Payload: o.Payload, Concurrency: o.Concurrency, Batch: o.Batch, Singles: o.Singles,
		CPUs: runtime.NumCPU(), Go: runtime.Version(),
	}
	bare, err := b.measure("bare", func() (details, error) { return b.bare(ctx) })
	if err != nil {
		return nil, err
	}
	report.Phases = append(report.Phases, bare)
	if err := b.pipeline(ctx, secret, report); err != nil {
		return nil, err
	}
	for i := range report.Phases {
		report.Phases[i].compare(&bare)
	}
	report.Worker, err = b.counts(ctx)
	return report, err
}

// pipeline starts a server on an empty directory and measures both ways in.
func (b *bench) pipeline(ctx context.Context, secret string, report *Report) error {
	server, err := b.startStore(ctx)
	if err != nil {
		return err
	}
	defer func() {
		server.stop()
		if b.redis != nil {
			b.redis.stop()
		}
	}()
	b.server, b.api = server.process, server.api
	if err := b.prepare(ctx, secret); err != nil {
		return err
	}
	batches, err := b.measure("batches", func() (details, error) { return b.batches(ctx) })
	if err != nil {
		return err
	}
	report.Phases = append(report.Phases, batches)
	singles, err := b.measure("singles", func() (details, error) { return b.singles(ctx) })
	if err != nil {
		return err
	}
	report.Phases = append(report.Phases, singles)
	return b.check(ctx)
}

// startStore starts the server, and the store that it is measured with.
func (b *bench) startStore(ctx context.Context) (*server, error) {
	if !b.Redis {
		return startServer(ctx, b.Executable, b.Dir)
	}
	r, err := startRedis(ctx, b.Dir)
	if err != nil {
		return nil, err
	}
	server, err := startServerOn(ctx, b.Executable, r.url, r.dir)
	if err != nil {
		r.stop()
		return nil, err
	}
	b.redis = r
	return server, nil
}

// prepare registers the worker and gives the queues the bare loop's
// concurrency.
func (b *bench) prepare(ctx context.Context, secret string) error {
	queues := []string{batchQueue, singleQueue}
	for _, queue := range queues {
		if _, err := b.api.PutQueue(ctx, queue, client.QueueConfig{Concurrency: b.Concurrency}); err != nil {
			return err
		}
	}
	_, err := b.api.PutWorker(ctx, "bench", client.WorkerConfig{URL: b.worker.url + "/signed", Queues: queues, SigningSecret: secret})
	return err
}

// check makes sure that the numbers are about what they claim: each job was
// received, and each push was signed.
func (b *bench) check(ctx context.Context) error {
	c, err := b.counts(ctx)
	switch {
	case err != nil:
		return err
	case c.Unsigned > 0:
		return fmt.Errorf("%d pushes were not signed, or wrongly", c.Unsigned)
	case c.Distinct != 2*b.Jobs:
		return fmt.Errorf("the worker received %d distinct jobs of %d", c.Distinct, 2*b.Jobs)
	}
	return nil
}

func (p *Phase) compare(bare *Phase) {
	p.WallRatio = p.Rate / bare.Rate
	if p.CPU > 0 {
		p.CPURatio = bare.CPU / p.CPU
	}
}
