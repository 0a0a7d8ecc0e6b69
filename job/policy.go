package job

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Backoff is the shape of a retry policy's delays.
type Backoff string

// The shapes. The empty one means unset.
const (
	BackoffExponential Backoff = "exponential" // initial_delay × factor^(n−1)
	BackoffLinear      Backoff = "linear"      // initial_delay × n
	BackoffFixed       Backoff = "fixed"       // initial_delay
	BackoffList        Backoff = "list"        // delays[n−1], the last one repeated
)

var backoffs = []Backoff{BackoffExponential, BackoffLinear, BackoffFixed, BackoffList}

// Jitter is how a delay is spread so that retries do not come all at once.
type Jitter string

// The jitters. The empty one means unset.
const (
	JitterFull  Jitter = "full"  // uniform in [0, delay]
	JitterEqual Jitter = "equal" // uniform in [delay/2, delay]
	JitterNone  Jitter = "none"  // exactly the delay
)

var jitters = []Jitter{JitterFull, JitterEqual, JitterNone}

// Policy says how often and when a job is retried. A zero field is unset: it
// falls through from the job to its queue to the server, field by field.
//
// "Full jitter" is that of Marc Brooker, "Exponential Backoff And Jitter", AWS
// Architecture Blog, 2015.
type Policy struct {
	// MaxAttempts is the number of attempts that may fail, 1 to 1000.
	MaxAttempts int `json:"max_attempts,omitempty"`
	// MaxDuration bounds the time from the first attempt's start to the start of
	// the last, 1s to 365d.
	MaxDuration Duration `json:"max_duration,omitempty"`
	Backoff     Backoff  `json:"backoff,omitempty"`
	// InitialDelay is 1ms to 7d.
	InitialDelay Duration `json:"initial_delay,omitempty"`
	// Factor is that of exponential back-off, 1 to 100.
	Factor float64 `json:"factor,omitempty"`
	// MaxDelay caps every delay, 1ms to 7d.
	MaxDelay Duration `json:"max_delay,omitempty"`
	Jitter   Jitter   `json:"jitter,omitempty"`
	// Delays are those of "list", 1 to 100 of them, each at most 7d.
	Delays []Duration `json:"delays,omitempty"`
	// FatalStatuses are the answers, 300 to 599, that kill a job at once; at
	// most 100.
	FatalStatuses []int `json:"fatal_statuses,omitempty"`
}

// The bounds of a policy.
const (
	MaxPolicyAttempts = 1000
	MaxPolicyDuration = Duration(365 * day)
	MaxPolicyDelay    = Duration(7 * day)
	MaxPolicyFactor   = 100
	MaxPolicyEntries  = 100
)

// DefaultPolicy is the server's policy where nothing else is configured: ten
// attempts within seven days, exponential from one second to one hour, with
// full jitter.
func DefaultPolicy() Policy {
	return Policy{
		MaxAttempts: 10, MaxDuration: Duration(7 * day), Backoff: BackoffExponential,
		InitialDelay: Duration(time.Second), Factor: 2, MaxDelay: Duration(time.Hour), Jitter: JitterFull,
	}
}

// IsZero reports whether no field is set.
func (p *Policy) IsZero() bool {
	return p.MaxAttempts == 0 && p.MaxDuration == 0 && p.Backoff == "" && p.InitialDelay == 0 &&
		p.Factor == 0 && p.MaxDelay == 0 && p.Jitter == "" && len(p.Delays) == 0 && len(p.FatalStatuses) == 0
}

// Over returns p with each unset field taken from base. A cap taken from base
// is raised to the initial delay and the delays that p sets itself, so that a
// default never cuts what was asked for. Resolve from the most specific on:
// job.Over(queue).Over(server).
func (p Policy) Over(base Policy) Policy {
	if p.MaxDelay == 0 && base.MaxDelay != 0 { // before p has delays of base
		p.MaxDelay = max(base.MaxDelay, p.InitialDelay, longest(p.Delays))
	}
	p.MaxAttempts = cmp.Or(p.MaxAttempts, base.MaxAttempts)
	p.MaxDuration = cmp.Or(p.MaxDuration, base.MaxDuration)
	p.Backoff = cmp.Or(p.Backoff, base.Backoff)
	p.InitialDelay = cmp.Or(p.InitialDelay, base.InitialDelay)
	p.Factor = cmp.Or(p.Factor, base.Factor)
	p.Jitter = cmp.Or(p.Jitter, base.Jitter)
	if len(p.Delays) == 0 {
		p.Delays = base.Delays
	}
	if len(p.FatalStatuses) == 0 {
		p.FatalStatuses = base.FatalStatuses
	}
	return p
}

func longest(delays []Duration) Duration {
	if len(delays) == 0 {
		return 0
	}
	return slices.Max(delays)
}

// Delay returns how long to wait after the nth failure, n counting from 1, and
// spreads it with r. It is never negative and never over MaxDelay (or seven
// days where that is unset), whatever the fields hold; the same seed gives the
// same delays. p should be resolved (see Over); r must not be nil.
func (p *Policy) Delay(n int, r *rand.Rand) time.Duration {
	limit := float64(MaxPolicyDelay)
	if p.MaxDelay > 0 {
		limit = min(limit, float64(p.MaxDelay))
	}
	d := p.backoff(max(n, 1))
	if !(d < limit) { // also where d is +Inf or NaN
		d = limit
	}
	switch p.Jitter {
	case JitterNone:
	case JitterEqual:
		d = d/2 + r.Float64()*d/2
	default:
		d *= r.Float64()
	}
	return time.Duration(d)
}

// backoff returns the delay after the nth failure in nanoseconds, neither
// capped nor spread. In floating point it overflows to +Inf, not to a negative.
func (p *Policy) backoff(n int) float64 {
	initial := float64(max(p.InitialDelay, 0))
	switch p.Backoff {
	case BackoffLinear:
		return initial * float64(n)
	case BackoffFixed:
		return initial
	case BackoffList:
		if len(p.Delays) == 0 {
			return 0
		}
		return float64(max(p.Delays[min(n, len(p.Delays))-1], 0))
	default:
		growth := math.Pow(max(p.Factor, 1), float64(n-1))
		return initial * min(growth, math.MaxFloat64) // 0 × +Inf would be NaN, not 0
	}
}

// Fatal reports whether an answer with that status kills the job at once.
func (p *Policy) Fatal(status int) bool { return slices.Contains(p.FatalStatuses, status) }

// FieldError is one thing wrong with one field of the input.
type FieldError struct {
	// Field is the path of the field, such as "retry.max_attempts".
	Field string
	// Message says what would be right.
	Message string
}

// Error returns "field: message".
func (e FieldError) Error() string { return e.Field + ": " + e.Message }

// Validate returns what is wrong with the fields that are set, each field
// prefixed with prefix. An unset field is never wrong: it falls through.
func (p *Policy) Validate(prefix string) []FieldError {
	var errs []FieldError
	bad := func(field, format string, args ...any) {
		errs = append(errs, FieldError{prefix + field, fmt.Sprintf(format, args...)})
	}
	if p.MaxAttempts < 0 || p.MaxAttempts > MaxPolicyAttempts {
		bad("max_attempts", "must be from 1 to %d", MaxPolicyAttempts)
	}
	if p.MaxDuration != 0 && (p.MaxDuration < Duration(time.Second) || p.MaxDuration > MaxPolicyDuration) {
		bad("max_duration", "must be from 1s to %s", MaxPolicyDuration)
	}
	if p.Backoff != "" && !slices.Contains(backoffs, p.Backoff) {
		bad("backoff", "must be exponential, linear, fixed or list")
	}
	if badDelay(p.InitialDelay) {
		bad("initial_delay", "must be from 1ms to %s", MaxPolicyDelay)
	}
	if p.Factor != 0 && !(p.Factor >= 1 && p.Factor <= MaxPolicyFactor) { // also where it is NaN
		bad("factor", "must be from 1 to %d", MaxPolicyFactor)
	}
	if badDelay(p.MaxDelay) {
		bad("max_delay", "must be from 1ms to %s", MaxPolicyDelay)
	}
	if p.Jitter != "" && !slices.Contains(jitters, p.Jitter) {
		bad("jitter", "must be full, equal or none")
	}
	p.validateLists(bad)
	return errs
}

func (p *Policy) validateLists(bad func(field, format string, args ...any)) {
	if p.Backoff == BackoffList && len(p.Delays) == 0 {
		bad("delays", "must have at least one entry where backoff is list")
	}
	if len(p.Delays) > MaxPolicyEntries {
		bad("delays", "must have at most %d entries", MaxPolicyEntries)
	}
	wrong := func(d Duration) bool { return d < 0 || d > MaxPolicyDelay }
	if i := slices.IndexFunc(p.Delays, wrong); i >= 0 {
		bad(fmt.Sprintf("delays[%d]", i), "must be from 0s to %s", MaxPolicyDelay)
	}
	if len(p.FatalStatuses) > MaxPolicyEntries {
		bad("fatal_statuses", "must have at most %d entries", MaxPolicyEntries)
	}
	if i := slices.IndexFunc(p.FatalStatuses, func(s int) bool { return s < 300 || s > 599 }); i >= 0 {
		bad(fmt.Sprintf("fatal_statuses[%d]", i), "must be an HTTP status from 300 to 599")
	}
}

func badDelay(d Duration) bool {
	return d != 0 && (d < Duration(time.Millisecond) || d > MaxPolicyDelay)
}
