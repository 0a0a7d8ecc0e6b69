package bench

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		numbers []float64
		q, want float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0, 7},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 3, 2, 1}, 0.5, 3},
		{[]float64{5, 4, 3, 2, 1}, 1, 5},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.9, 10},
	}
	for _, tt := range tests {
		if got := quantile(slices.Clone(tt.numbers), tt.q); got != tt.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", tt.numbers, tt.q, got, tt.want)
		}
	}
}

// At most the part 1-q lies above a quantile, at most the part q below it.
func TestQuantileProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.Int64Range(-9, 9), 1, 50).Draw(t, "numbers")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		got := quantile(numbers, q)
		below, above := 0, 0
		for _, n := range numbers {
			if n < got {
				below++
			}
			if n > got {
				above++
			}
		}
		if n := float64(len(numbers)); float64(below) > q*n || float64(above) > (1-q)*n {
			t.Fatalf("quantile %v of %v is %d: %d below, %d above", q, numbers, got, below, above)
		}
	})
}

func TestMedianRatio(t *testing.T) {
	t.Parallel()
	rates := func(all ...float64) (samples []Sample) {
		for _, r := range all {
			samples = append(samples, Sample{Rate: r})
		}
		return samples
	}
	tests := map[string]struct {
		samples, base []Sample
		want          float64
	}{
		"nothing":                       {nil, nil, 0},
		"one":                           {rates(3), rates(2), 1.5},
		"a round in which all was slow": {rates(100, 10, 100), rates(100, 10, 100), 1},
		"the median of the ratios":      {rates(50, 80, 90), rates(100, 100, 100), 0.8},
		"base was not measured":         {rates(5), rates(0), 0},
		"a round too many":              {rates(1, 9), rates(2), 0.5},
	}
	for name, tt := range tests {
		if got := medianRatio(tt.samples, tt.base, rateOf); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := []struct {
		numbers []time.Duration
		want    time.Duration
	}{
		{nil, 0},
		{[]time.Duration{5}, 5},
		{[]time.Duration{8, 2}, 5},
		{[]time.Duration{9, 1, 4}, 4},
		{[]time.Duration{100, 2, 1, 4}, 3},
	}
	for _, tt := range tests {
		if got := median(slices.Clone(tt.numbers)); got != tt.want {
			t.Errorf("median of %v is %d, want %d", tt.numbers, got, tt.want)
		}
	}
}
