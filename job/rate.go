package job

import (
	"fmt"
	"time"
)

// Rate bounds how many pushes may start: Limit in each Period on average, and
// never more than Burst more than that in any stretch of time. The zero Rate
// bounds nothing.
type Rate struct {
	// Limit is 1 to MaxRateLimit.
	Limit int `json:"limit,omitempty"`
	// Period is 1s to MaxRatePeriod.
	Period Duration `json:"period,omitempty"`
	// Burst is how many may start at once after a rest, 1 to Limit; 0 means as
	// many as come in a tenth of a second, and at least one.
	Burst int `json:"burst,omitempty"`
}

// The bounds of a rate.
const (
	MaxRateLimit  = 1_000_000
	MaxRatePeriod = Duration(7 * day)
)

// IsZero reports whether the rate bounds nothing.
func (r Rate) IsZero() bool { return r == Rate{} }

// Interval returns how long one start takes up: Period by Limit, rounded up to
// a nanosecond, so that rounding never allows more.
func (r Rate) Interval() time.Duration {
	if r.Limit <= 0 {
		return 0
	}
	return (r.Period.Std() + time.Duration(r.Limit) - 1) / time.Duration(r.Limit)
}

// Starts returns how many pushes may start at once after a rest.
func (r Rate) Starts() int {
	if r.Burst > 0 {
		return r.Burst
	}
	if interval := r.Interval(); interval > 0 {
		return max(1, int(100*time.Millisecond/interval))
	}
	return 1
}

// Validate returns what is wrong with the fields, each prefixed with prefix: of
// a zero rate, that it has no limit and no period.
func (r Rate) Validate(prefix string) []FieldError {
	var errs []FieldError
	if r.Limit < 1 || r.Limit > MaxRateLimit {
		errs = append(errs, FieldError{prefix + "limit", fmt.Sprintf("must be from 1 to %d", MaxRateLimit)})
	}
	if r.Period < Duration(time.Second) || r.Period > MaxRatePeriod {
		errs = append(errs, FieldError{prefix + "period", fmt.Sprintf("must be from 1s to %s", MaxRatePeriod)})
	}
	if r.Burst < 0 || r.Burst > max(r.Limit, 1) {
		errs = append(errs, FieldError{prefix + "burst", "must be from 1 to limit"})
	}
	return errs
}
