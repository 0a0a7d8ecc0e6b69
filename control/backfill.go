package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/scheduler"
	"github.com/orchestrix/orchestrix/store"
)

// Backfill asks for the runs of a schedule's slots in a range of time that is over.
type Backfill struct {
	Schedule string `json:"schedule"`
	// From is inclusive, To exclusive and not later than now; where To is zero it is now.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Overlap says what happens at a slot while the run before has not ended, as
	// scheduler.Policy does; empty is scheduler.OverlapAllow.
	Overlap string `json:"overlap,omitempty"`
}

// MaxBackfill is how many slots one backfill may have.
const MaxBackfill = 10_000

// stepSlots is how many slots a step asks for: few enough that the schedule's history
// (store.KeptRuns) still tells of all of them when they are counted.
const stepSlots = 50

// backfillRecord is what the record of an operation has of a backfill.
type backfillRecord struct {
	Backfill
	// Times are the schedule's when the backfill began: its slots stay what they were.
	Times scheduler.Spec `json:"times"`
	// Cursor is the last slot that was asked for.
	Cursor time.Time `json:"cursor"`
}

// StartBackfill begins to make the runs of a schedule's slots in a range, whether they
// fired before or not, the oldest first: each once, also over a restart. It returns once
// that is durable. It is a Conflict while another backfill of the schedule runs.
func (c *Control) StartBackfill(ctx context.Context, b Backfill) (Operation, error) {
	r, err := c.backfill(ctx, b)
	if err != nil {
		return Operation{}, err
	}
	docs, err := all[operationRecord](ctx, c, kindOperation)
	if err != nil {
		return Operation{}, err
	}
	for i := range docs {
		// A schedule remembers few backfills, and none that is forgotten may be repeated.
		if o := &docs[i].Value; !o.over() && o.Backfill != nil && o.Backfill.Schedule == b.Schedule {
			return Operation{}, conflict("backfill_running", "%s is a backfill of this schedule that has not ended: wait for it, or cancel it", docs[i].Name)
		}
	}
	return c.begin(ctx, r)
}

// CountBackfill counts the runs that StartBackfill would ask for, and changes nothing.
func (c *Control) CountBackfill(ctx context.Context, b Backfill) (Operation, error) {
	r, err := c.backfill(ctx, b)
	d := document[operationRecord]{Value: r}
	return shownOperation(&d), err
}

// backfill returns the operation that a backfill would be, with the number of its slots.
func (c *Control) backfill(ctx context.Context, b Backfill) (operationRecord, error) {
	var none operationRecord
	s, err := c.scheduleFor(ctx, ActionWriteJobs, b.Schedule)
	if err != nil {
		return none, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return none, storeError("begin a backfill", err)
	}
	if b.To.IsZero() {
		b.To = now
	}
	if f := b.faults(now); len(f) > 0 {
		return none, invalid(f...)
	}
	d, _, err := readSchedule(s)
	if err != nil {
		return none, err
	}
	r := &backfillRecord{Backfill: b, Times: d.Spec, Cursor: b.From.Add(-1)}
	slots, err := r.slots(MaxBackfill + 1)
	switch {
	case err != nil:
		return none, err
	case len(slots) > MaxBackfill:
		return none, invalidField("to", "leaves more than %d slots from from on, the last of them at %s: take a part of the range", MaxBackfill, slots[MaxBackfill-1].Format(time.RFC3339Nano))
	}
	return operationRecord{
		Kind: OperationBackfill, Filter: JobSelection{Queue: s.Job.Queue}, Backfill: r, Matched: int64(len(slots)),
	}, nil
}

func (b *Backfill) faults(now time.Time) (f faults) {
	switch {
	case b.From.IsZero():
		f.add("from", "must be given")
	case b.To.After(now):
		f.add("to", "must not be later than now: what is to come fires by itself")
	case !b.To.After(b.From):
		f.add("to", "must be after from")
	}
	f.add("overlap", scheduler.CheckOverlap(b.Overlap))
	return f
}

// slots returns the next slots behind the cursor, up to a limit.
func (b *backfillRecord) slots(limit int) ([]time.Time, error) {
	table, fields := scheduler.New(b.Schedule, b.Times)
	if fields != nil {
		return nil, fmt.Errorf("the times of a backfill cannot be read: %w", fields[0])
	}
	var slots []time.Time
	for at := b.Cursor; len(slots) < limit; {
		slot, err := table.Next(at)
		if errors.Is(err, scheduler.ErrEnded) || err == nil && !slot.Before(b.To) {
			break
		}
		if err != nil {
			return nil, err
		}
		slots, at = append(slots, slot), slot
	}
	return slots, nil
}

// stepBackfill asks for the next slots of a backfill, and counts what became of them. The
// schedule takes each once for the operation's id, so that a step that a crash has
// interrupted is taken again as it was.
func (c *Control) stepBackfill(ctx context.Context, id string, r *operationRecord, now time.Time) error {
	b := r.Backfill
	slots, err := b.slots(stepSlots)
	if err != nil {
		return err
	}
	if len(slots) == 0 {
		r.end(OperationSucceeded, now)
		return nil
	}
	commands := make([]store.Command, len(slots))
	for i, slot := range slots {
		commands[i] = c.triggerOf(b.Schedule, &scheduler.Trigger{Slot: slot, Backfill: id, Overlap: b.Overlap})
	}
	if err := c.sendAll(ctx, commands[0].ID.Shard(), commands); err != nil {
		return err
	}
	c.totals.commands.Add(uint64(len(slots)))
	done, err := c.backfilled(ctx, b.Schedule, slots, r.Until.Add(-time.Millisecond))
	if err != nil {
		return err
	}
	r.Done += int64(done)
	r.Skipped += int64(len(slots) - done)
	b.Cursor = slots[len(slots)-1]
	return nil
}

// backfilled counts which of the slots have got a run since the backfill began, or wait
// for one.
func (c *Control) backfilled(ctx context.Context, name string, slots []time.Time, began time.Time) (int, error) {
	s, err := c.scheduleFor(ctx, ActionRead, name)
	if KindOf(err) == NotFound {
		return 0, errors.New("the schedule was deleted")
	}
	if err != nil {
		return 0, err
	}
	_, state, err := readSchedule(s)
	if err != nil {
		return 0, err
	}
	runs, err := c.runs(ctx, name, 0, store.KeptRuns)
	if err != nil {
		return 0, err
	}
	taken := map[int64]bool{state.Waiting.UnixMilli(): true}
	for i := range runs {
		if run := &runs[i]; run.Kind == scheduler.Fired && !run.At.Before(began) {
			taken[run.Slot.UnixMilli()] = true
		}
	}
	done := 0
	for _, slot := range slots {
		if taken[slot.UnixMilli()] {
			done++
		}
	}
	return done, nil
}
