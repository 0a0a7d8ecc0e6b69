package job

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// What turns a protection on or off; the empty text stands for its default.
const (
	On  = "on"
	Off = "off"
)

// Circuit says when a worker that fails is left alone, on one queue: a circuit
// breaker (Michael Nygard, "Release It!", 2007). Its circuit opens when, over the last
// Window, at least MinPushes attempts have ended and FailureRatio of them have
// failed. Then nothing is pushed for OpenFor, and after that one push probes
// it: if it succeeds the circuit is closed, else it stays open for twice as long
// as before, at most MaxOpen. A zero field is unset; see Over.
type Circuit struct {
	// Mode is On or Off.
	Mode string `json:"mode,omitempty"`
	// Window is 1s to 1h.
	Window Duration `json:"window,omitempty"`
	// MinPushes is 1 to 10,000.
	MinPushes int `json:"min_pushes,omitempty"`
	// FailureRatio is 0.01 to 1.
	FailureRatio float64 `json:"failure_ratio,omitempty"`
	// OpenFor is 100ms to 1h.
	OpenFor Duration `json:"open_for,omitempty"`
	// MaxOpen is OpenFor to 1d.
	MaxOpen Duration `json:"max_open,omitempty"`
}

// DefaultCircuit returns the circuit of a worker that sets nothing.
func DefaultCircuit() Circuit {
	return Circuit{
		Mode: On, Window: Duration(time.Minute), MinPushes: 10, FailureRatio: 0.5,
		OpenFor: Duration(30 * time.Second), MaxOpen: Duration(5 * time.Minute),
	}
}

// Over returns c with its unset fields taken from below. A MaxOpen that is unset
// is never shorter than OpenFor.
func (c Circuit) Over(below Circuit) Circuit {
	given := c.MaxOpen
	c = Circuit{
		Mode: cmp.Or(c.Mode, below.Mode), Window: cmp.Or(c.Window, below.Window), MinPushes: cmp.Or(c.MinPushes, below.MinPushes),
		FailureRatio: cmp.Or(c.FailureRatio, below.FailureRatio), OpenFor: cmp.Or(c.OpenFor, below.OpenFor), MaxOpen: cmp.Or(given, below.MaxOpen),
	}
	if given == 0 {
		c.MaxOpen = max(c.MaxOpen, c.OpenFor)
	}
	return c
}

// Open returns for how long a circuit stays open that has opened n times in a
// row, n at least 1. c must have no unset field.
func (c Circuit) Open(n int) time.Duration {
	d := c.OpenFor.Std()
	for ; n > 1 && d < c.MaxOpen.Std(); n-- {
		d *= 2 // at most a day before: it cannot overflow
	}
	return min(d, c.MaxOpen.Std())
}

// Validate returns what is wrong with the set fields, each prefixed with prefix.
func (c Circuit) Validate(prefix string) []FieldError {
	var errs []FieldError
	errs = append(errs, checkMode(prefix+"mode", c.Mode)...)
	errs = append(errs, checkBetween(prefix+"window", c.Window, Duration(time.Second), Duration(time.Hour))...)
	if c.MinPushes < 0 || c.MinPushes > 10_000 {
		errs = append(errs, FieldError{prefix + "min_pushes", "must be from 1 to 10000"})
	}
	if c.FailureRatio != 0 && (math.IsNaN(c.FailureRatio) || c.FailureRatio < 0.01 || c.FailureRatio > 1) {
		errs = append(errs, FieldError{prefix + "failure_ratio", "must be from 0.01 to 1"})
	}
	errs = append(errs, checkBetween(prefix+"open_for", c.OpenFor, Duration(100*time.Millisecond), Duration(time.Hour))...)
	errs = append(errs, checkBetween(prefix+"max_open", c.MaxOpen, Duration(100*time.Millisecond), Duration(day))...)
	if len(errs) == 0 && c.MaxOpen != 0 && c.MaxOpen < c.Over(DefaultCircuit()).OpenFor {
		errs = append(errs, FieldError{prefix + "max_open", "must not be shorter than open_for"})
	}
	return errs
}

func checkMode(field, mode string) []FieldError {
	if mode != "" && mode != On && mode != Off {
		return []FieldError{{field, "must be on or off"}}
	}
	return nil
}

// checkBetween is for a duration that may be unset.
func checkBetween(field string, d, least, most Duration) []FieldError {
	if d != 0 && (d < least || d > most) {
		return []FieldError{{field, fmt.Sprintf("must be from %s to %s", least, most)}}
	}
	return nil
}
