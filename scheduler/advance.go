package scheduler

import "time"

// Kind is what becomes of a slot.
type Kind string

// What becomes of slots.
const (
	Fired   Kind = "fired"
	Skipped Kind = "skipped" // since the last run had not ended
	Queued  Kind = "queued"  // until that has ended
	Missed  Kind = "missed"  // it was too late
)

// Step is what becomes of one slot or, where they were missed, of several.
type Step struct {
	Kind Kind
	// Slot is the first of them and Last the last; Count is how many there are.
	Slot, Last time.Time
	Count      int
	// Cancel says that the last run is to be cancelled.
	Cancel bool
	// Waited says that it was queued before.
	Waited bool
}

// Run is an entry of a schedule's history.
type Run struct {
	Kind Kind `json:"kind"`
	// Slot, Last and Count are as those of Step. Last and Count are left out of a single
	// slot.
	Slot  time.Time `json:"slot"`
	Last  time.Time `json:"last,omitzero"`
	Count int       `json:"count,omitempty"`
	// At is when it happened; of a firing this is when its job was made.
	At time.Time `json:"at"`
	// Job is the id of a firing's job.
	Job string `json:"job,omitempty"`
	// By says what asked for a run beside the slots: trigger, or backfill.
	By string `json:"by,omitempty"`
}

const (
	// dueChunk is how many due slots are looked at in one go; those that certainly will
	// not fire are then counted as missed, and the rest is for the next.
	dueChunk = MaxCatchUp + 1000
	// firesAtOnce is how many slots fire in one go.
	firesAtOnce = 20
	// waitingLook is how often it is looked at whether the last run has ended, for which
	// a slot waits, in case that was not told.
	waitingLook = time.Minute
)

// Advance deals with the slots that are due at an instant, in their order, and changes
// the state accordingly. lives says that the last run has not ended. It returns what
// becomes of each slot, and when to call it again: at once, where next is not after
// now; never, where it is zero. The work of one call is bounded.
func (t *Timetable) Advance(p *Policy, s *State, lives bool, now time.Time) (steps []Step, next time.Time) {
	if s.Paused != "" {
		return nil, time.Time{}
	}
	if !s.Waiting.IsZero() && !lives {
		steps = append(steps, Step{Kind: Fired, Slot: s.Waiting, Last: s.Waiting, Count: 1, Waited: true})
		s.Waiting = time.Time{}
		s.Fired++
		lives = true
	}
	due, all := t.due(s, now)
	missed, kept := t.choose(p, due, all, now)
	if n := len(missed); n > 0 {
		s.Missed += int64(n)
		s.Cursor = missed[n-1]
		steps = append(steps, Step{Kind: Missed, Slot: missed[0], Last: missed[n-1], Count: n})
	}
	for n := 0; len(kept) > 0 && n < firesAtOnce && !t.exhausted(s); n++ {
		step := s.take(p.Overlap, kept[0], lives)
		if step.Kind == Fired {
			s.Fired++
			lives = true
		}
		steps = append(steps, step)
		s.Cursor, kept = kept[0], kept[1:]
	}
	return steps, t.NextLook(s, now)
}

// exhausted reports whether the schedule has fired as often as it may. A slot that
// waits will fire.
func (t *Timetable) exhausted(s *State) bool {
	n := s.Fired
	if !s.Waiting.IsZero() {
		n++
	}
	return t.spec.MaxRuns > 0 && n >= t.spec.MaxRuns
}

// NextLook returns when Advance is to be called next, also after the state was changed
// otherwise; zero for never. That is when the schedule fires next or, where a slot
// waits, within a minute.
func (t *Timetable) NextLook(s *State, now time.Time) time.Time {
	next := t.NextFire(s)
	if look := now.Add(waitingLook); !s.Waiting.IsZero() && (next.IsZero() || next.After(look)) {
		return look
	}
	return next
}

// NextFire returns when the schedule fires next, by its slots; zero for never.
func (t *Timetable) NextFire(s *State) time.Time {
	if s.Paused != "" || t.exhausted(s) {
		return time.Time{}
	}
	slot, err := t.Next(s.Cursor)
	if err != nil {
		return time.Time{}
	}
	return t.Fires(slot)
}

// due returns the slots that are due, the oldest first, and whether these are all.
func (t *Timetable) due(s *State, now time.Time) (slots []time.Time, all bool) {
	for at := s.Cursor; len(slots) < dueChunk; {
		slot, err := t.Next(at)
		if err != nil || t.Fires(slot).After(now) {
			return slots, true
		}
		slots, at = append(slots, slot), slot
	}
	return slots, false
}

// choose says which of the due slots fire. Those that do not are the oldest.
func (t *Timetable) choose(p *Policy, due []time.Time, all bool, now time.Time) (missed, kept []time.Time) {
	if !all {
		return due[:len(due)-MaxCatchUp], nil
	}
	if len(due) == 0 || now.Sub(t.Fires(due[0])) <= Grace {
		return nil, due
	}
	keep := 1
	switch p.CatchUp {
	case CatchUpSkip:
		keep = 0
	case CatchUpAll:
		keep = MaxCatchUp
	}
	first := max(0, len(due)-keep)
	for first < len(due) && now.Sub(t.Fires(due[first])) > p.window() {
		first++
	}
	return due[:first], due[first:]
}
