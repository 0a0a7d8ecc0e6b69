package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// timesFields are the members that say when a schedule fires.
func timesFields[T any](at func(*T) *control.ScheduleTimes) []field[T] {
	return []field[T]{
		text("cron", func(t *T) *string { return &at(t).Cron }, "must not be empty",
			doc("Five fields (minute, hour, day of month, month, day of week) or six, the second first; names, ranges, steps, lists, L, LW, 15W, 5#3, 5L, H, and @hourly and the like; at most 256 bytes.")),
		duration("every", func(t *T) *job.Duration { return &at(t).Every }, "must be from 1s to 3660d",
			doc("An interval of elapsed time, 1s to 3660d, counted from starts_at, or from 1970-01-01T00:00:00Z where that is absent.")),
		text("timezone", func(t *T) *string { return &at(t).Timezone }, "", doc("Of the IANA database, such as Europe/Berlin; UTC where it is absent.")),
		text("dst_gap", func(t *T) *string { return &at(t).DSTGap }, "must be fire or skip",
			choice("What becomes of a time of the day that a clock, set forward, never shows: fire at the first instant after the gap (the default), or skip. With cron only.",
				"fire", "skip")),
		duration("jitter", func(t *T) *job.Duration { return &at(t).Jitter }, "", doc("Delays each firing by a part of it, the same for one name and slot; at most 1d.")),
		instant("starts_at", func(t *T) *time.Time { return &at(t).StartsAt }, doc("No slot is before it.")),
		instant("ends_at", func(t *T) *time.Time { return &at(t).EndsAt }, doc("All slots are before it.")),
		integer("max_runs", func(t *T) *int { return &at(t).MaxRuns }, "must be from 1 to 1000000000", bounded("How often it fires in all.", 1, 1e9)),
	}
}

type previewSpec = control.SchedulePreview

var previewObject = object[previewSpec]{
	name: "SchedulePreview", description: "When a schedule fires: by cron or every, one of them.", defaults: func() previewSpec { return previewSpec{} },
	fields: slices.Concat(timesFields(func(p *previewSpec) *control.ScheduleTimes { return &p.Spec }), []field[previewSpec]{
		text("name", func(p *previewSpec) *string { return &p.Name }, "", named("The schedule's name, which decides about H and jitter.")),
		instant("from", func(p *previewSpec) *time.Time { return &p.From }, doc("Slots after it; now where it is absent.")),
		integer("count", func(p *previewSpec) *int { return &p.Count }, fmt.Sprintf("must be from 1 to %d", control.MaxPreview),
			bounded(fmt.Sprintf("How many slots; %d where it is absent.", control.DefaultPreview), 1, control.MaxPreview)),
	}),
}

// Slot is one time at which a schedule fires.
type Slot struct {
	At    time.Time `json:"at" doc:"The slot, in UTC."`
	Local string    `json:"local" format:"date-time" doc:"The same instant by the schedule's clock."`
	Note  string    `json:"note" doc:"What is odd about it: a clock that is set, or jitter. Mostly empty."`
}

// slotList is the slots of a schedule.
type slotList struct {
	Body struct {
		Items []Slot `json:"items" nullable:"false"`
	}
}

type nextSlotsInput struct {
	NamePath
	Count int `query:"count" minimum:"1" maximum:"1000" doc:"How many slots; 10 where it is absent."`
}

func (a *api) previewSchedule(ctx context.Context, in *BodyInput) (*slotList, error) {
	var p previewSpec
	if err := decode(&previewObject, in.RawBody, false, &p); err != nil {
		return nil, err
	}
	slots, err := a.control.PreviewSchedule(ctx, p)
	return viewSlots(slots), err
}

func (a *api) nextSlots(ctx context.Context, in *nextSlotsInput) (*slotList, error) {
	slots, err := a.control.NextSlots(ctx, in.Name, in.Count)
	return viewSlots(slots), err
}

func viewSlots(slots []control.ScheduleSlot) *slotList {
	out := &slotList{}
	out.Body.Items = make([]Slot, len(slots))
	for i, s := range slots {
		out.Body.Items[i] = Slot{s.At, s.Local.Format(time.RFC3339Nano), s.Note}
	}
	return out
}
