package job_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

func TestRateValidate(t *testing.T) {
	t.Parallel()
	const second = job.Duration(time.Second)
	for _, tt := range []struct {
		rate job.Rate
		want []string
	}{
		{job.Rate{}, []string{"rate.limit", "rate.period"}},
		{job.Rate{Limit: 1, Period: second}, nil},
		{job.Rate{Limit: 1_000_000, Period: job.MaxRatePeriod, Burst: 1_000_000}, nil},
		{job.Rate{Limit: 0, Period: second}, []string{"rate.limit"}},
		{job.Rate{Limit: -1, Period: second}, []string{"rate.limit"}},
		{job.Rate{Limit: 1_000_001, Period: second}, []string{"rate.limit"}},
		{job.Rate{Limit: 1}, []string{"rate.period"}},
		{job.Rate{Limit: 1, Period: second - 1}, []string{"rate.period"}},
		{job.Rate{Limit: 1, Period: job.MaxRatePeriod + 1}, []string{"rate.period"}},
		{job.Rate{Limit: 2, Period: second, Burst: 3}, []string{"rate.burst"}},
		{job.Rate{Limit: 2, Period: second, Burst: -1}, []string{"rate.burst"}},
		{job.Rate{Burst: 1}, []string{"rate.limit", "rate.period"}},
	} {
		var got []string
		for _, e := range tt.rate.Validate("rate.") {
			got = append(got, e.Field)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.rate, diff)
		}
	}
}

func TestRateStarts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate job.Rate
		want int
	}{
		{job.Rate{}, 1},
		{job.Rate{Limit: 1, Period: job.Duration(time.Hour)}, 1},
		{job.Rate{Limit: 10, Period: job.Duration(time.Second)}, 1},
		{job.Rate{Limit: 1000, Period: job.Duration(time.Second)}, 100},
		{job.Rate{Limit: 1000, Period: job.Duration(time.Second), Burst: 7}, 7},
	} {
		if got := tt.rate.Starts(); got != tt.want {
			t.Errorf("%+v: %d starts at once, want %d", tt.rate, got, tt.want)
		}
	}
}

// The interval is never so short that more than Limit fit into a Period.
func TestRateInterval(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := job.Rate{
			Limit:  rapid.IntRange(1, job.MaxRateLimit).Draw(t, "limit"),
			Period: job.Duration(rapid.Int64Range(int64(time.Second), int64(job.MaxRatePeriod)).Draw(t, "period")),
		}
		if total := r.Interval() * time.Duration(r.Limit); total < r.Period.Std() {
			t.Fatalf("%+v: %d intervals take %v", r, r.Limit, total)
		}
	})
}
