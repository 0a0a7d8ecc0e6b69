package job_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// drawPolicy draws any policy, also those that Validate refuses: a delay must
// be safe whatever an older store holds.
func drawPolicy(t *rapid.T, label string) job.Policy {
	duration := rapid.OneOf(
		rapid.Just(job.Duration(0)),
		rapid.Custom(func(t *rapid.T) job.Duration {
			return job.Duration(rapid.Int64Range(1, int64(job.MaxPolicyDelay)).Draw(t, "d"))
		}),
		rapid.Custom(func(t *rapid.T) job.Duration { return job.Duration(rapid.Int64().Draw(t, "d")) }),
		rapid.SampledFrom([]job.Duration{math.MinInt64, -1, 1, math.MaxInt64}),
	)
	return rapid.Custom(func(t *rapid.T) job.Policy {
		return job.Policy{
			MaxAttempts:   rapid.IntRange(-1, 1001).Draw(t, "max_attempts"),
			MaxDuration:   duration.Draw(t, "max_duration"),
			Backoff:       rapid.SampledFrom([]job.Backoff{"", "exponential", "linear", "fixed", "list", "odd"}).Draw(t, "backoff"),
			InitialDelay:  duration.Draw(t, "initial_delay"),
			Factor:        rapid.OneOf(rapid.Float64Range(0, 101), rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, math.MaxFloat64})).Draw(t, "factor"),
			MaxDelay:      duration.Draw(t, "max_delay"),
			Jitter:        rapid.SampledFrom([]job.Jitter{"", "full", "equal", "none", "odd"}).Draw(t, "jitter"),
			Delays:        rapid.SliceOfN(duration, 0, 4).Draw(t, "delays"),
			FatalStatuses: rapid.SliceOfN(rapid.IntRange(299, 600), 0, 4).Draw(t, "fatal_statuses"),
		}
	}).Draw(t, label)
}

func TestDelay(t *testing.T) {
	t.Parallel()
	const s = job.Duration(time.Second)
	exponential := job.Policy{InitialDelay: s, Factor: 2, MaxDelay: 3600 * s, Jitter: job.JitterNone}
	list := job.Policy{Backoff: job.BackoffList, Delays: []job.Duration{5 * s, 0, 60 * s}, Jitter: job.JitterNone}
	linear := job.Policy{Backoff: job.BackoffLinear, InitialDelay: 10 * s, MaxDelay: 45 * s, Jitter: job.JitterNone}
	fixed := job.Policy{Backoff: job.BackoffFixed, InitialDelay: 3 * s, Jitter: job.JitterNone}
	tests := []struct {
		name   string
		policy job.Policy
		n      int
		want   time.Duration
	}{
		{"first", exponential, 1, time.Second},
		{"second", exponential, 2, 2 * time.Second},
		{"twelfth", exponential, 12, 2048 * time.Second},
		{"capped", exponential, 13, time.Hour},
		{"far beyond", exponential, math.MaxInt, time.Hour},
		{"zeroth is first", exponential, 0, time.Second},
		{"negative is first", exponential, math.MinInt, time.Second},
		{"linear first", linear, 1, 10 * time.Second},
		{"linear fourth", linear, 4, 40 * time.Second},
		{"linear capped", linear, 5, 45 * time.Second},
		{"linear overflow", linear, math.MaxInt, 45 * time.Second},
		{"fixed first", fixed, 1, 3 * time.Second},
		{"fixed later", fixed, 999, 3 * time.Second},
		{"list first", list, 1, 5 * time.Second},
		{"list zero", list, 2, 0},
		{"list third", list, 3, time.Minute},
		{"list repeats its last", list, 4, time.Minute},
		{"empty list", job.Policy{Backoff: job.BackoffList, Jitter: job.JitterNone}, 1, 0},
		{"no cap is seven days", job.Policy{InitialDelay: s, Factor: 100, Jitter: job.JitterNone}, 50, 7 * day},
		{"a cap over seven days is seven days", job.Policy{InitialDelay: s, Factor: 2, MaxDelay: math.MaxInt64, Jitter: job.JitterNone}, 60, 7 * day},
		{"no initial delay", job.Policy{Factor: 100, Jitter: job.JitterNone}, 1000, 0},
		{"negative initial delay", job.Policy{InitialDelay: -s, Factor: 2, Jitter: job.JitterNone}, 3, 0},
		{"factor below one", job.Policy{InitialDelay: s, Factor: 0.5, Jitter: job.JitterNone}, 5, time.Second},
		{"factor unset", job.Policy{InitialDelay: s, Jitter: job.JitterNone}, 5, time.Second},
		{"factor not a number", job.Policy{InitialDelay: s, Factor: math.NaN(), MaxDelay: 60 * s, Jitter: job.JitterNone}, 2, time.Minute},
		{"factor not a number, spread", job.Policy{InitialDelay: s, Factor: math.NaN(), MaxDelay: 1, Jitter: job.JitterFull}, 2, 0},
		{"factor infinite", job.Policy{InitialDelay: s, Factor: math.Inf(1), MaxDelay: 60 * s, Jitter: job.JitterNone}, 2, time.Minute},
		{"factor minus infinite", job.Policy{InitialDelay: s, Factor: math.Inf(-1), Jitter: job.JitterNone}, 2, time.Second},
		{"zero policy", job.Policy{}, 3, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.policy.Delay(tt.n, seeded(1)); got != tt.want {
				t.Errorf("Delay(%d) = %v, want %v", tt.n, got, tt.want)
			}
		})
	}
}

func TestDelayIsBoundedWhateverThePolicyHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, "policy")
		n, seed := rapid.Int().Draw(t, "n"), rapid.Uint64().Draw(t, "seed")
		limit := job.MaxPolicyDelay.Std()
		if p.MaxDelay > 0 {
			limit = min(limit, p.MaxDelay.Std())
		}
		got := p.Delay(n, seeded(seed))
		if got < 0 || got > limit {
			t.Fatalf("Delay(%d) = %v, want 0 to %v", n, got, limit)
		}
		if again := p.Delay(n, seeded(seed)); again != got {
			t.Fatalf("Delay(%d) = %v, then %v under the same seed", n, got, again)
		}
	})
}

func TestDelayNeverShrinksWithFailures(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, "policy")
		p.Backoff = rapid.SampledFrom([]job.Backoff{job.BackoffExponential, job.BackoffLinear, job.BackoffFixed}).Draw(t, "backoff")
		p.Jitter = job.JitterNone
		n := rapid.IntRange(1, 2000).Draw(t, "n")
		if math.IsNaN(p.Factor) {
			p.Factor = 2
		}
		if a, b := p.Delay(n, seeded(1)), p.Delay(n+1, seeded(1)); a > b {
			t.Fatalf("Delay(%d) = %v, Delay(%d) = %v", n, a, n+1, b)
		}
	})
}

func TestJitterFillsItsRange(t *testing.T) {
	t.Parallel()
	const full = 10 * time.Second
	tests := []struct {
		jitter job.Jitter
		lo, hi time.Duration
	}{
		{job.JitterFull, 0, full},
		{"", 0, full},
		{job.JitterEqual, full / 2, full},
		{job.JitterNone, full, full},
	}
	for _, tt := range tests {
		p := job.Policy{Backoff: job.BackoffFixed, InitialDelay: job.Duration(full), Jitter: tt.jitter}
		r := seeded(42)
		lo, hi, sum := time.Duration(math.MaxInt64), time.Duration(0), time.Duration(0)
		const draws = 10_000
		for range draws {
			d := p.Delay(1, r)
			lo, hi, sum = min(lo, d), max(hi, d), sum+d
		}
		if lo < tt.lo || hi > tt.hi {
			t.Errorf("jitter %q: from %v to %v, want within %v to %v", tt.jitter, lo, hi, tt.lo, tt.hi)
		}
		// Uniform: both ends are nearly reached, and the mean is the middle.
		width := tt.hi - tt.lo
		if lo > tt.lo+width/100 || hi < tt.hi-width/100 {
			t.Errorf("jitter %q: from %v to %v does not fill %v to %v", tt.jitter, lo, hi, tt.lo, tt.hi)
		}
		if off := (sum/draws - (tt.lo+tt.hi)/2).Abs(); off > width/50 {
			t.Errorf("jitter %q: the mean is off by %v", tt.jitter, off)
		}
	}
}

func TestDefaultPolicy(t *testing.T) {
	t.Parallel()
	p := job.DefaultPolicy()
	if errs := p.Validate(""); len(errs) > 0 {
		t.Errorf("the default is invalid: %v", errs)
	}
	want := job.Policy{
		MaxAttempts: 10, MaxDuration: job.Duration(7 * day), Backoff: job.BackoffExponential,
		InitialDelay: job.Duration(time.Second), Factor: 2, MaxDelay: job.Duration(time.Hour), Jitter: job.JitterFull,
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("default policy (-want +got):\n%s", diff)
	}
}

func TestPolicyOver(t *testing.T) {
	t.Parallel()
	const s = job.Duration(time.Second)
	full := job.Policy{
		MaxAttempts: 3, MaxDuration: 60 * s, Backoff: job.BackoffList, InitialDelay: 2 * s, Factor: 3, MaxDelay: 9 * s,
		Jitter: job.JitterNone, Delays: []job.Duration{s}, FatalStatuses: []int{404},
	}
	capped := func(p job.Policy, limit job.Duration) job.Policy { p.MaxDelay = limit; return p }
	tests := []struct {
		name          string
		p, base, want job.Policy
	}{
		{"nothing over nothing", job.Policy{}, job.Policy{}, job.Policy{}},
		{"nothing over all", job.Policy{}, full, full},
		{"all over nothing", full, job.Policy{}, full},
		{"all over the default", full, job.DefaultPolicy(), full},
		{
			"one field",
			job.Policy{MaxAttempts: 1},
			full,
			func() job.Policy { p := full; p.MaxAttempts = 1; return p }(),
		},
		{
			"an inherited cap gives way to an initial delay",
			job.Policy{InitialDelay: 7200 * s},
			job.Policy{MaxDelay: 3600 * s},
			job.Policy{InitialDelay: 7200 * s, MaxDelay: 7200 * s},
		},
		{
			"an inherited cap gives way to listed delays",
			job.Policy{Delays: []job.Duration{s, 7200 * s, 60 * s}},
			job.Policy{MaxDelay: 3600 * s},
			job.Policy{Delays: []job.Duration{s, 7200 * s, 60 * s}, MaxDelay: 7200 * s},
		},
		{
			"a cap of its own stays",
			job.Policy{InitialDelay: 7200 * s, MaxDelay: 60 * s},
			full,
			func() job.Policy { p := capped(full, 60*s); p.InitialDelay = 7200 * s; return p }(),
		},
		{
			"a cap of its own holds against an inherited delay",
			job.Policy{MaxDelay: s},
			job.Policy{InitialDelay: 60 * s},
			job.Policy{MaxDelay: s, InitialDelay: 60 * s},
		},
		{
			"no cap at all stays none",
			job.Policy{InitialDelay: 60 * s},
			job.Policy{MaxAttempts: 2},
			job.Policy{InitialDelay: 60 * s, MaxAttempts: 2},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, tt.p.Over(tt.base)); diff != "" {
				t.Errorf("Over (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyOverTheDefaultSetsEverythingNeeded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, base := drawPolicy(t, "p"), drawPolicy(t, "base")
		got := p.Over(base).Over(job.DefaultPolicy())
		if got.MaxAttempts == 0 || got.MaxDuration == 0 || got.Backoff == "" || got.InitialDelay == 0 ||
			got.Factor == 0 || got.MaxDelay == 0 || got.Jitter == "" {
			t.Fatalf("a field is unset: %+v", got)
		}
		settled := got.Over(base)
		if diff := cmp.Diff(settled, settled.Over(base), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("a resolved policy changed (-want +got):\n%s", diff)
		}
	})
}

func TestPolicyIsZero(t *testing.T) {
	t.Parallel()
	if p := (job.Policy{}); !p.IsZero() {
		t.Error("the zero policy is not zero")
	}
	for _, p := range []job.Policy{
		{MaxAttempts: 1},
		{MaxDuration: 1},
		{Backoff: job.BackoffFixed},
		{InitialDelay: 1},
		{Factor: 1},
		{MaxDelay: 1},
		{Jitter: job.JitterNone},
		{Delays: []job.Duration{0}},
		{FatalStatuses: []int{400}},
	} {
		if p.IsZero() {
			t.Errorf("%+v is zero", p)
		}
	}
}

func TestPolicyValidate(t *testing.T) {
	t.Parallel()
	const ms = job.Duration(time.Millisecond)
	long, codes := make([]job.Duration, 101), make([]int, 101)
	for i := range codes {
		codes[i] = 400
	}
	tests := []struct {
		name   string
		policy job.Policy
		fields string // of the errors, separated by spaces
	}{
		{"zero", job.Policy{}, ""},
		{"lower bounds", job.Policy{
			MaxAttempts: 1, MaxDuration: 1000 * ms, Backoff: "fixed", InitialDelay: ms, Factor: 1, MaxDelay: ms,
			Jitter: "equal", Delays: []job.Duration{0}, FatalStatuses: []int{300},
		}, ""},
		{"upper bounds", job.Policy{
			MaxAttempts: 1000, MaxDuration: job.Duration(365 * day), Backoff: "list", InitialDelay: job.Duration(7 * day), Factor: 100,
			MaxDelay: job.Duration(7 * day), Jitter: "none", Delays: long[:100], FatalStatuses: append(codes[:99:99], 599),
		}, ""},
		{"all below", job.Policy{
			MaxAttempts: -1, MaxDuration: 1000*ms - 1, Backoff: "odd", InitialDelay: ms - 1, Factor: 0.99, MaxDelay: ms - 1,
			Jitter: "odd", Delays: []job.Duration{0, -1}, FatalStatuses: []int{400, 299},
		}, "max_attempts max_duration backoff initial_delay factor max_delay jitter delays[1] fatal_statuses[1]"},
		{"all above", job.Policy{
			MaxAttempts: 1001, MaxDuration: job.Duration(365*day) + 1, InitialDelay: job.Duration(7*day) + 1, Factor: 100.01,
			MaxDelay: job.Duration(7*day) + 1, Delays: []job.Duration{job.Duration(7*day) + 1}, FatalStatuses: []int{600},
		}, "max_attempts max_duration initial_delay factor max_delay delays[0] fatal_statuses[0]"},
		{"negative durations", job.Policy{MaxDuration: -1, InitialDelay: -1, MaxDelay: -1}, "max_duration initial_delay max_delay"},
		{"too many entries", job.Policy{Delays: long, FatalStatuses: codes}, "delays fatal_statuses"},
		{"list without delays", job.Policy{Backoff: job.BackoffList}, "delays"},
		{"not a number", job.Policy{Factor: math.NaN()}, "factor"},
		{"infinite", job.Policy{Factor: math.Inf(1)}, "factor"},
		{"negative factor", job.Policy{Factor: -2}, "factor"},
		{"several wrong entries are one error", job.Policy{FatalStatuses: []int{1, 2, 3}}, "fatal_statuses[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var fields []string
			for _, e := range tt.policy.Validate("retry.") {
				field, ok := strings.CutPrefix(e.Field, "retry.")
				if !ok || !strings.HasPrefix(e.Message, "must ") || strings.Contains(e.Message, "%!") {
					t.Errorf("error %q: want the prefix and a message that says what would be right", e)
				}
				fields = append(fields, field)
			}
			if got := strings.Join(fields, " "); got != tt.fields {
				t.Errorf("wrong fields %q, want %q", got, tt.fields)
			}
		})
	}
}

func TestValidPolicySurvivesJSON(t *testing.T) {
	t.Parallel()
	duration := func(lo, hi job.Duration) *rapid.Generator[job.Duration] {
		return rapid.Custom(func(t *rapid.T) job.Duration {
			return job.Duration(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, "d"))
		})
	}
	delay := duration(job.Duration(time.Millisecond), job.MaxPolicyDelay)
	rapid.Check(t, func(t *rapid.T) {
		p := job.Policy{
			MaxAttempts:   rapid.IntRange(0, job.MaxPolicyAttempts).Draw(t, "max_attempts"),
			MaxDuration:   duration(job.Duration(time.Second), job.MaxPolicyDuration).Draw(t, "max_duration"),
			Backoff:       rapid.SampledFrom([]job.Backoff{"", "exponential", "linear", "fixed", "list"}).Draw(t, "backoff"),
			InitialDelay:  delay.Draw(t, "initial_delay"),
			Factor:        rapid.Float64Range(1, job.MaxPolicyFactor).Draw(t, "factor"),
			MaxDelay:      delay.Draw(t, "max_delay"),
			Jitter:        rapid.SampledFrom([]job.Jitter{"", "full", "equal", "none"}).Draw(t, "jitter"),
			Delays:        rapid.SliceOfN(duration(0, job.MaxPolicyDelay), 1, 5).Draw(t, "delays"),
			FatalStatuses: rapid.SliceOfN(rapid.IntRange(300, 599), 1, 5).Draw(t, "fatal_statuses"),
		}
		if errs := p.Validate(""); len(errs) > 0 {
			t.Fatalf("%+v: %v", p, errs)
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("a valid policy cannot be written: %v", err)
		}
		var back job.Policy
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatalf("%s cannot be read back: %v", data, err)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", data, diff)
		}
	})
}

func TestFatal(t *testing.T) {
	t.Parallel()
	p := job.Policy{FatalStatuses: []int{400, 422}}
	for status, want := range map[int]bool{400: true, 422: true, 421: false, 0: false, 500: false} {
		if got := p.Fatal(status); got != want {
			t.Errorf("Fatal(%d) = %t", status, got)
		}
	}
	if (&job.Policy{}).Fatal(0) {
		t.Error("without fatal statuses, 0 is fatal")
	}
}

func TestFieldErrorText(t *testing.T) {
	t.Parallel()
	err := error(job.FieldError{Field: "retry.factor", Message: "must be from 1 to 100"})
	if err.Error() != "retry.factor: must be from 1 to 100" {
		t.Errorf("Error() = %q", err)
	}
}
