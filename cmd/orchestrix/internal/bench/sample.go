package bench

import (
	"context"
	"slices"
	"time"
)

// Sample is one measurement of a number of jobs.
type Sample struct {
	Jobs int           `json:"jobs"`
	Wall time.Duration `json:"wall_ns"`
	Rate float64       `json:"jobs_per_second"`
	// CPU is microseconds of the server per job; 0 where the system does not
	// tell.
	CPU float64 `json:"server_cpu_us_per_job"`
}

// sample measures how long run takes and what CPU time the server uses. run
// returns the number of jobs.
func (s *server) sample(run func() (jobs int, err error)) (Sample, error) {
	began := s.mark()
	jobs, err := run()
	if err != nil {
		return Sample{}, err
	}
	return s.since(began, jobs), nil
}

// mark is a moment in a server's life. cpu is negative where the system does not
// tell.
type mark struct {
	at  time.Time
	cpu time.Duration
}

func (s *server) mark() mark {
	cpu, err := s.cpu()
	if err != nil {
		cpu = -1
	}
	return mark{time.Now(), cpu}
}

// since returns what that many jobs have taken from a moment until now.
func (s *server) since(m mark, jobs int) Sample {
	now := s.mark()
	wall := now.at.Sub(m.at)
	out := Sample{Jobs: jobs, Wall: wall, Rate: float64(jobs) / wall.Seconds()}
	if m.cpu >= 0 && now.cpu >= 0 {
		out.CPU = (now.cpu - m.cpu).Seconds() * 1e6 / float64(jobs)
	}
	return out
}

// settle waits until a server that is not asked for anything does nothing:
// until it has used less than a twentieth of a core for a while, at most a
// minute.
func (s *server) settle(ctx context.Context) error {
	const look, calm, most = 250 * time.Millisecond, 4, time.Minute
	last := s.mark()
	for idle, end := 0, last.at.Add(most); idle < calm && last.at.Before(end); {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
		now := s.mark()
		if idle++; now.cpu-last.cpu > now.at.Sub(last.at)/20 {
			idle = 0
		}
		last = now
	}
	return nil
}

func rateOf(s Sample) float64 { return s.Rate }
func cpuOf(s Sample) float64  { return s.CPU }

// number is what medians are taken of.
type number interface{ ~int64 | ~float64 }

// medianOf returns the median of one number of each sample.
func medianOf[S any, N number](samples []S, of func(S) N) N {
	numbers := make([]N, len(samples))
	for i, s := range samples {
		numbers[i] = of(s)
	}
	return median(numbers)
}

// medianRatio returns the median of a number's ratio to that of the same round
// of base. What disturbs a machine for longer than a round disturbs both of it.
// It is 0 where nothing was measured.
func medianRatio[S any, N number](samples, base []S, of func(S) N) float64 {
	ratios := make([]float64, 0, len(samples))
	for i := range min(len(samples), len(base)) {
		if b := of(base[i]); b > 0 {
			ratios = append(ratios, float64(of(samples[i]))/float64(b))
		}
	}
	return median(ratios)
}

// median returns the number in the middle, or the mean of the two there; zero
// where there are none. It sorts them.
func median[N number](numbers []N) N {
	n := len(numbers)
	if n == 0 {
		return 0
	}
	slices.Sort(numbers)
	return (numbers[(n-1)/2] + numbers[n/2]) / 2
}

// quantile returns the number below which a part q, from 0 to 1, of the numbers
// lies: always one of them, zero where there are none. It sorts them.
func quantile[N number](numbers []N, q float64) N {
	if len(numbers) == 0 {
		return 0
	}
	slices.Sort(numbers)
	return numbers[min(int(q*float64(len(numbers))), len(numbers)-1)]
}
