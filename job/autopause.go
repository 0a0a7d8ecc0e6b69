package job

import (
	"cmp"
	"time"
)

// AutoPause says when a worker that only fails is paused, until somebody resumes
// it: when for After no attempt has succeeded and at least MinAttempts have
// failed. A zero field is unset; see Over.
type AutoPause struct {
	// Mode is On or Off.
	Mode string `json:"mode,omitempty"`
	// After is 1m to 30d.
	After Duration `json:"after,omitempty"`
	// MinAttempts is 1 to 1,000,000.
	MinAttempts int `json:"min_attempts,omitempty"`
}

// DefaultAutoPause returns what holds for a worker that sets nothing.
func DefaultAutoPause() AutoPause {
	return AutoPause{Mode: On, After: Duration(24 * time.Hour), MinAttempts: 20}
}

// Over returns a with its unset fields taken from below.
func (a AutoPause) Over(below AutoPause) AutoPause {
	return AutoPause{
		Mode: cmp.Or(a.Mode, below.Mode), After: cmp.Or(a.After, below.After), MinAttempts: cmp.Or(a.MinAttempts, below.MinAttempts),
	}
}

// Validate returns what is wrong with the set fields, each prefixed with prefix.
func (a AutoPause) Validate(prefix string) []FieldError {
	errs := checkMode(prefix+"mode", a.Mode)
	errs = append(errs, checkBetween(prefix+"after", a.After, Duration(time.Minute), Duration(30*day))...)
	if a.MinAttempts < 0 || a.MinAttempts > 1_000_000 {
		errs = append(errs, FieldError{prefix + "min_attempts", "must be from 1 to 1000000"})
	}
	return errs
}
