package api

import (
	"context"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

const schedulesTag = "schedules"

type previewSpec = control.SchedulePreview

var previewObject = object[previewSpec]{
	name: "SchedulePreview", description: "When a schedule fires: by cron or every, one of them.", defaults: func() previewSpec { return previewSpec{} },
	fields: []field[previewSpec]{
		text("cron", func(p *previewSpec) *string { return &p.Cron }, "must not be empty",
			doc("Five fields (minute, hour, day of month, month, day of week) or six, the second first; names, ranges, steps, lists, L, LW, 15W, 5#3, 5L, H, and @hourly and the like; at most 256 bytes.")),
		duration("every", func(p *previewSpec) *job.Duration { return &p.Every }, "must be from 1s to 3660d",
			doc("An interval of elapsed time, 1s to 3660d, counted from starts_at, or from 1970-01-01T00:00:00Z where that is absent.")),
		text("timezone", func(p *previewSpec) *string { return &p.Timezone }, "", doc("Of the IANA database, such as Europe/Berlin; UTC where it is absent.")),
		text("dst_gap", func(p *previewSpec) *string { return &p.DSTGap }, "must be fire or skip",
			choice("What becomes of a time of the day that a clock, set forward, never shows: fire at the first instant after the gap (the default), or skip. With cron only.",
				"fire", "skip")),
		duration("jitter", func(p *previewSpec) *job.Duration { return &p.Jitter }, "", doc("Delays each firing by a part of it, the same for one name and slot; at most 1d.")),
		instant("starts_at", func(p *previewSpec) *time.Time { return &p.StartsAt }, doc("No slot is before it.")),
		instant("ends_at", func(p *previewSpec) *time.Time { return &p.EndsAt }, doc("All slots are before it.")),
		integer("max_runs", func(p *previewSpec) *int { return &p.MaxRuns }, "must be from 1 to 1000000000", bounded("How often it fires in all.", 1, 1e9)),
		text("name", func(p *previewSpec) *string { return &p.Name }, "", named("The schedule's name, which decides about H and jitter.")),
		instant("from", func(p *previewSpec) *time.Time { return &p.From }, doc("Slots after it; now where it is absent.")),
		integer("count", func(p *previewSpec) *int { return &p.Count }, fmt.Sprintf("must be from 1 to %d", control.MaxPreview),
			bounded(fmt.Sprintf("How many slots; %d where it is absent.", control.DefaultPreview), 1, control.MaxPreview)),
	},
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

func (a *api) scheduleRoutes() {
	register(a, operation{
		method: "POST", path: "/v1/schedules/preview", id: "preview-schedule", tag: schedulesTag,
		summary: "See when a schedule would fire; nothing is stored", body: bodyOf(&previewObject),
	}, a.previewSchedule)
}

func (a *api) previewSchedule(ctx context.Context, in *BodyInput) (*slotList, error) {
	var p previewSpec
	if err := decode(&previewObject, in.RawBody, false, &p); err != nil {
		return nil, err
	}
	slots, err := a.control.PreviewSchedule(ctx, p)
	if err != nil {
		return nil, err
	}
	out := &slotList{}
	out.Body.Items = make([]Slot, len(slots))
	for i, s := range slots {
		out.Body.Items[i] = Slot{s.At, s.Local.Format(time.RFC3339Nano), s.Note}
	}
	return out, nil
}
