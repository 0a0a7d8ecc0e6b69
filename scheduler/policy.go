package scheduler

import (
	"cmp"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Definition is all that a schedule is, but for the job that it makes.
type Definition struct {
	Spec
	Policy
}

// Policy says what becomes of slots that cannot simply fire.
type Policy struct {
	// Overlap says what happens at a slot while the last run has not ended: one of the
	// Overlap constants; empty is OverlapAllow.
	Overlap string `json:"overlap,omitempty"`
	// CatchUp says what happens after downtime to the slots that were not fired in time:
	// one of the CatchUp constants; empty is CatchUpLatest.
	CatchUp string `json:"catch_up,omitempty"`
	// CatchUpWindow is how late a slot may still be fired then, MinCatchUpWindow to MaxCatchUpWindow;
	// 0 is DefaultCatchUpWindow.
	CatchUpWindow job.Duration `json:"catch_up_window,omitempty"`
	// PauseOnFailure is how many runs in a row, as they end, may be dead before the
	// schedule is paused, at most MaxPauseOnFailure; 0 is never.
	PauseOnFailure int `json:"pause_on_failure,omitempty"`
}

// What happens at a slot while the last run has not ended.
const (
	OverlapAllow  = "allow"          // it fires
	OverlapSkip   = "skip"           // it is left out
	OverlapQueue  = "queue_one"      // it waits for that; while one waits, others are left out
	OverlapCancel = "cancel_running" // it fires, and that run is cancelled
)

// What happens to slots that were not fired in time, where the oldest of them is more
// than Grace late.
const (
	CatchUpSkip   = "skip"   // all are missed
	CatchUpLatest = "latest" // the newest fires
	CatchUpAll    = "all"    // the newest MaxCatchUp fire
)

// The bounds of a Policy.
const (
	// Grace is how late slots are fired whatever CatchUp says: it takes seconds until
	// another node serves the shard of one that has died, and that is no downtime.
	Grace                = 15 * time.Second
	DefaultCatchUpWindow = job.Duration(24 * time.Hour)
	MinCatchUpWindow     = job.Duration(time.Second)
	MaxCatchUpWindow     = job.Duration(366 * 24 * time.Hour)
	MaxCatchUp           = 1000
	MaxPauseOnFailure    = 1000
)

// Validate returns what is wrong with a policy.
func (p *Policy) Validate() (errs []job.FieldError) {
	if m := CheckOverlap(p.Overlap); m != "" {
		errs = append(errs, job.FieldError{Field: "overlap", Message: m})
	}
	switch p.CatchUp {
	case "", CatchUpSkip, CatchUpLatest, CatchUpAll:
	default:
		errs = append(errs, job.FieldError{Field: "catch_up", Message: "must be skip, latest or all"})
	}
	switch {
	case p.CatchUpWindow != 0 && p.CatchUpWindow < MinCatchUpWindow || p.CatchUpWindow > MaxCatchUpWindow:
		errs = append(errs, job.FieldError{Field: "catch_up_window", Message: "must be from " + MinCatchUpWindow.String() + " to " + MaxCatchUpWindow.String()})
	case p.CatchUpWindow > 0 && p.CatchUp == CatchUpSkip:
		errs = append(errs, job.FieldError{Field: "catch_up_window", Message: "must not be given with catch_up: skip"})
	}
	if p.PauseOnFailure < 0 || p.PauseOnFailure > MaxPauseOnFailure {
		errs = append(errs, job.FieldError{Field: "pause_on_failure", Message: "must be from 1 to 1000"})
	}
	return errs
}

// CheckOverlap returns what is wrong with the name of an overlap; empty where nothing
// is.
func CheckOverlap(overlap string) string {
	switch overlap {
	case "", OverlapAllow, OverlapSkip, OverlapQueue, OverlapCancel:
		return ""
	}
	return "must be allow, skip, queue_one or cancel_running"
}

// Awaits reports whether it matters when a run ends, and how.
func (p *Policy) Awaits() bool {
	return p.Overlap != "" && p.Overlap != OverlapAllow || p.PauseOnFailure > 0
}

// window is how late a slot may be fired.
func (p *Policy) window() time.Duration {
	return cmp.Or(p.CatchUpWindow, DefaultCatchUpWindow).Std()
}
