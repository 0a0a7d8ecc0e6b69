package scheduler

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// State is how far a schedule has come. Together with a Definition it decides alone
// what happens at an instant.
type State struct {
	// Cursor is the last slot that was dealt with, or the instant after which slots
	// count. It never goes back, so that no change of a schedule fires a slot anew.
	Cursor time.Time `json:"cursor"`
	// Fired counts the slots that fired, towards MaxRuns; Missed those that were not
	// fired since that was too late, Skipped those that were left out because of a run
	// that had not ended.
	Fired   int   `json:"fired,omitempty"`
	Missed  int64 `json:"missed,omitempty"`
	Skipped int64 `json:"skipped,omitempty"`
	// LastSlot is the slot of the last run, of whatever origin, and LastAt when its job was
	// made; both are zero before the first.
	LastSlot time.Time `json:"last_slot,omitzero"`
	LastAt   time.Time `json:"last_at,omitzero"`
	// Waiting is the slot that waits for the last run to end; zero where none does.
	Waiting time.Time `json:"waiting,omitzero"`
	// Failures counts the last runs that ended dead, in a row.
	Failures int `json:"failures,omitempty"`
	// Paused is why nothing fires: one of the Paused constants; empty where it does.
	Paused string `json:"paused,omitempty"`
	// PausedAt is since when.
	PausedAt time.Time `json:"paused_at,omitzero"`
	// Backfills are the last backfills that reached the schedule.
	Backfills []Backfill `json:"backfills,omitempty"`
}

// Why a schedule is paused.
const (
	PausedByRequest = "requested"
	PausedByFailure = "failures"
)

// Backfill is how far a backfill has come: what is asked of a slot up to At is a
// repetition.
type Backfill struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// keptBackfills is how many of them are remembered: more than run at once.
const keptBackfills = 8

// Begin returns the state of a schedule that is created, or whose times are changed:
// what was before does not fire any more.
func Begin(now time.Time) State { return State{Cursor: now} }

// Pause stops all firing, for one of the Paused reasons. A slot that waits is left out.
func (s *State) Pause(why string, now time.Time) {
	if !s.Waiting.IsZero() {
		s.Skipped++
	}
	s.Paused, s.PausedAt, s.Waiting = why, now, time.Time{}
}

// Resume lets a paused schedule fire again. The slots in between are not made up for.
func (s *State) Resume(now time.Time) {
	s.Paused, s.PausedAt, s.Failures = "", time.Time{}, 0
	s.Skip(now)
}

// Skip leaves out all slots up to an instant.
func (s *State) Skip(now time.Time) {
	if now.After(s.Cursor) {
		s.Cursor = now
	}
}

// Ended notes how a run has ended.
func (s *State) Ended(p *Policy, outcome job.Status, now time.Time) {
	switch outcome {
	case job.Dead:
		s.Failures++
	case job.Succeeded:
		s.Failures = 0
	}
	if p.PauseOnFailure > 0 && s.Failures >= p.PauseOnFailure && s.Paused == "" {
		s.Pause(PausedByFailure, now)
	}
}

// Trigger asks for a run beside the slots.
type Trigger struct {
	// Slot is the nominal time of a backfill's run; zero for now.
	Slot time.Time `json:"slot,omitzero"`
	// Backfill is the id of the backfill, whose slots come in their order; empty where
	// somebody asked for one run.
	Backfill string `json:"backfill,omitempty"`
	// Overlap is one of the Overlap constants; empty is OverlapAllow.
	Overlap string `json:"overlap,omitempty"`
}

// Triggered returns what becomes of a trigger; nothing, where it repeats what was done.
// lives says that the last run has not ended.
func (s *State) Triggered(t *Trigger, lives bool, now time.Time) (step Step, ok bool) {
	slot := t.Slot
	if slot.IsZero() {
		slot = now
	}
	if t.Backfill != "" && !s.backfill(t.Backfill, slot) {
		return Step{}, false
	}
	return s.take(t.Overlap, slot, lives), true
}

// backfill notes a slot of a backfill, and reports whether it is a new one.
func (s *State) backfill(id string, slot time.Time) bool {
	for i := range s.Backfills {
		if b := &s.Backfills[i]; b.ID == id {
			if !slot.After(b.At) {
				return false
			}
			b.At = slot
			return true
		}
	}
	s.Backfills = append(s.Backfills, Backfill{id, slot})
	if len(s.Backfills) > keptBackfills {
		s.Backfills = append([]Backfill(nil), s.Backfills[1:]...)
	}
	return true
}

// take decides about one slot.
func (s *State) take(overlap string, slot time.Time, lives bool) Step {
	step := Step{Kind: Fired, Slot: slot, Last: slot, Count: 1}
	if !lives {
		return step
	}
	switch overlap {
	case OverlapSkip:
		s.Skipped++
		step.Kind = Skipped
	case OverlapQueue:
		if step.Kind = Queued; !s.Waiting.IsZero() {
			s.Skipped++
			step.Kind = Skipped
		} else {
			s.Waiting = slot
		}
	case OverlapCancel:
		step.Cancel = true
	}
	return step
}
