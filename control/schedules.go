package control

import (
	"cmp"
	"context"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
)

// SchedulePreview asks when a schedule would fire.
type SchedulePreview struct {
	scheduler.Spec
	// Name decides about H and jitter; it may be empty.
	Name string
	// From is the instant after which slots are looked for; zero is now.
	From time.Time
	// Count is how many slots at most, 1 to MaxPreview; 0 is DefaultPreview.
	Count int
}

// How many slots a preview shows.
const (
	DefaultPreview = 10
	MaxPreview     = 1000
)

// PreviewSchedule returns the next slots of a schedule that need not exist. It
// wants the right to read all queues.
func (c *Control) PreviewSchedule(ctx context.Context, p SchedulePreview) ([]scheduler.Slot, error) {
	if err := allow(ctx, ActionRead); err != nil {
		return nil, err
	}
	table, errs := scheduler.New(p.Name, p.Spec)
	if p.Name != "" && !job.ValidName(p.Name) {
		errs = append(errs, job.FieldError{Field: "name", Message: job.CheckName(p.Name)})
	}
	if p.Count < 0 || p.Count > MaxPreview {
		errs = append(errs, badField("count", "must be from 1 to %d", MaxPreview))
	}
	if errs != nil {
		return nil, invalid(errs...)
	}
	from := p.From
	if from.IsZero() {
		now, err := c.o.Store.Now(ctx)
		if err != nil {
			return nil, storeError("read the time", err)
		}
		from = now
	}
	return table.Upcoming(from, 0, cmp.Or(p.Count, DefaultPreview)), nil
}
