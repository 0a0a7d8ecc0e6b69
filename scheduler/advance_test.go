package scheduler

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

const aMinute = job.Duration(time.Minute)

func timetable(t testing.TB, s Spec) *Timetable {
	t.Helper()
	table, errs := New("n", s)
	if errs != nil {
		t.Fatal(errs)
	}
	return table
}

var noon = time.Date(2027, 5, 1, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func fired(minutes int) Step {
	return Step{Kind: Fired, Slot: at(minutes), Last: at(minutes), Count: 1}
}

func missed(from, to int) Step {
	return Step{Kind: Missed, Slot: at(from), Last: at(to), Count: to - from + 1}
}

func TestAdvance(t *testing.T) {
	t.Parallel()
	each := Spec{Every: aMinute}
	cancelled := fired(1)
	cancelled.Cancel = true
	waited := fired(1)
	waited.Waited = true
	of := func(kind Kind, minutes int) Step {
		return Step{Kind: kind, Slot: at(minutes), Last: at(minutes), Count: 1}
	}
	tests := map[string]struct {
		spec   Spec
		policy Policy
		state  State
		lives  bool
		now    time.Time
		want   []Step
		next   time.Time
		after  State
	}{
		"nothing is due":             {each, Policy{}, State{Cursor: noon}, false, at(1).Add(-1), nil, at(1), State{Cursor: noon}},
		"a slot fires":               {each, Policy{}, State{Cursor: noon}, true, at(1), []Step{fired(1)}, at(2), State{Cursor: at(1), Fired: 1}},
		"a little late":              {Spec{Every: job.Duration(5 * time.Second)}, Policy{CatchUp: CatchUpSkip}, State{Cursor: noon.Add(45 * time.Second)}, false, at(1).Add(4 * time.Second), []Step{{Kind: Fired, Slot: noon.Add(50 * time.Second), Last: noon.Add(50 * time.Second), Count: 1}, {Kind: Fired, Slot: noon.Add(55 * time.Second), Last: noon.Add(55 * time.Second), Count: 1}, fired(1)}, at(1).Add(5 * time.Second), State{Cursor: at(1), Fired: 3}},
		"the latest":                 {each, Policy{}, State{Cursor: noon}, false, at(60), []Step{missed(1, 59), fired(60)}, at(61), State{Cursor: at(60), Fired: 1, Missed: 59}},
		"the latest, out of window":  {Spec{Every: 60 * aMinute}, Policy{CatchUpWindow: aMinute}, State{Cursor: noon}, false, at(62), []Step{of(Missed, 60)}, at(120), State{Cursor: at(60), Missed: 1}},
		"none":                       {each, Policy{CatchUp: CatchUpSkip}, State{Cursor: noon}, false, at(60), []Step{missed(1, 60)}, at(61), State{Cursor: at(60), Missed: 60}},
		"all":                        {each, Policy{CatchUp: CatchUpAll}, State{Cursor: noon}, false, at(3), []Step{fired(1), fired(2), fired(3)}, at(4), State{Cursor: at(3), Fired: 3}},
		"all of the window":          {each, Policy{CatchUp: CatchUpAll, CatchUpWindow: aMinute}, State{Cursor: noon}, false, at(4), []Step{missed(1, 2), fired(3), fired(4)}, at(5), State{Cursor: at(4), Fired: 2, Missed: 2}},
		"overlap: skip":              {each, Policy{Overlap: OverlapSkip}, State{Cursor: noon}, true, at(1), []Step{of(Skipped, 1)}, at(2), State{Cursor: at(1), Skipped: 1}},
		"overlap: skip, has ended":   {each, Policy{Overlap: OverlapSkip}, State{Cursor: noon}, false, at(1), []Step{fired(1)}, at(2), State{Cursor: at(1), Fired: 1}},
		"overlap: skip, catching up": {each, Policy{Overlap: OverlapSkip, CatchUp: CatchUpAll}, State{Cursor: noon}, false, at(2), []Step{fired(1), of(Skipped, 2)}, at(3), State{Cursor: at(2), Fired: 1, Skipped: 1}},
		"overlap: queue":             {each, Policy{Overlap: OverlapQueue}, State{Cursor: noon}, true, at(1), []Step{of(Queued, 1)}, at(2), State{Cursor: at(1), Waiting: at(1)}},
		"one waits already":          {each, Policy{Overlap: OverlapQueue}, State{Cursor: at(1), Waiting: at(1)}, true, at(2), []Step{of(Skipped, 2)}, at(3), State{Cursor: at(2), Waiting: at(1), Skipped: 1}},
		"it waits no longer":         {each, Policy{Overlap: OverlapQueue}, State{Cursor: at(1), Waiting: at(1)}, false, at(2), []Step{waited, of(Queued, 2)}, at(3), State{Cursor: at(2), Waiting: at(2), Fired: 1}},
		"it is looked after":         {Spec{Every: 60 * aMinute}, Policy{Overlap: OverlapQueue}, State{Cursor: at(1), Waiting: at(1)}, true, at(2), nil, at(3), State{Cursor: at(1), Waiting: at(1)}},
		"overlap: cancel":            {each, Policy{Overlap: OverlapCancel}, State{Cursor: noon}, true, at(1), []Step{cancelled}, at(2), State{Cursor: at(1), Fired: 1}},
		"the last run":               {Spec{Every: aMinute, MaxRuns: 3}, Policy{CatchUp: CatchUpAll}, State{Cursor: noon, Fired: 2}, false, at(2), []Step{fired(1)}, time.Time{}, State{Cursor: at(1), Fired: 3}},
		"the last run waits":         {Spec{Every: aMinute, MaxRuns: 3}, Policy{Overlap: OverlapQueue}, State{Cursor: noon, Fired: 2}, true, at(1), []Step{of(Queued, 1)}, at(2), State{Cursor: at(1), Fired: 2, Waiting: at(1)}},
		"it is over":                 {Spec{Every: aMinute, EndsAt: at(2)}, Policy{}, State{Cursor: noon}, false, at(1), []Step{fired(1)}, time.Time{}, State{Cursor: at(1), Fired: 1}},
		"it is paused":               {each, Policy{}, State{Cursor: noon, Paused: PausedByRequest}, false, at(9), nil, time.Time{}, State{Cursor: noon, Paused: PausedByRequest}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tt.state
			steps, next := timetable(t, tt.spec).Advance(&tt.policy, &s, tt.lives, tt.now)
			if diff := cmp.Diff(tt.want, steps); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.after, s); diff != "" {
				t.Error(diff)
			}
			if !next.Equal(tt.next) {
				t.Errorf("next %s, want %s", next, tt.next)
			}
		})
	}
}

// A year of seconds is made up for in bounded parts: the newest thousand fire.
func TestAdvanceIsBounded(t *testing.T) {
	t.Parallel()
	table := timetable(t, Spec{Every: job.Duration(time.Second)})
	s, now := Begin(noon), noon.Add(5*24*time.Hour)
	calls, fires := 0, 0
	for next := now; !next.After(now); calls++ {
		var steps []Step
		steps, next = table.Advance(&Policy{CatchUp: CatchUpAll}, &s, false, now)
		n := 0
		for _, step := range steps {
			if step.Kind == Fired {
				n++
			}
		}
		if fires += n; n > firesAtOnce || len(steps) > firesAtOnce+1 {
			t.Fatalf("%d steps at once", len(steps))
		}
	}
	if total := int64(now.Sub(noon).Seconds()); fires != MaxCatchUp || s.Missed != total-MaxCatchUp || !s.Cursor.Equal(now) || calls > 1000 {
		t.Errorf("%d fired and %d missed of %d, in %d calls", fires, s.Missed, total, calls)
	}
}

// Whatever the policy and whenever it is asked, each slot gets one end: it fires once,
// or is counted as missed or skipped; and none before its time.
func TestAdvanceAgainstPlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		spec := Spec{Every: job.Duration(time.Duration(rapid.IntRange(1, 7200).Draw(t, "every")) * time.Second)}
		if rapid.Bool().Draw(t, "cron") {
			spec = Spec{Cron: rapid.SampledFrom([]string{"* * * * *", "H * * * *", "30 2 * * *", "*/7 1-3 * * *"}).Draw(t, "expression"), Timezone: rapid.SampledFrom([]string{"", "Europe/Berlin", "Australia/Lord_Howe"}).Draw(t, "zone")}
		}
		spec.Jitter = job.Duration(rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "jitter"))
		policy := Policy{
			Overlap:       rapid.SampledFrom([]string{"", OverlapAllow, OverlapSkip, OverlapQueue, OverlapCancel}).Draw(t, "overlap"),
			CatchUp:       rapid.SampledFrom([]string{"", CatchUpSkip, CatchUpLatest, CatchUpAll}).Draw(t, "catch up"),
			CatchUpWindow: job.Duration(rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "window")),
		}
		table, errs := New("n", spec)
		if errs != nil {
			t.Fatal(errs)
		}
		begin := noon.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "begin")) * time.Second)
		s, now, lives := Begin(begin), begin, false
		slots := map[time.Time]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "later")) * time.Second)
			lives = lives && rapid.Bool().Draw(t, "lives")
			data, _ := json.Marshal(&s)
			var kept State
			if err := json.Unmarshal(data, &kept); err != nil || !cmp.Equal(kept, s) {
				t.Fatalf("the state is kept as %+v, not %+v: %v", kept, s, err)
			}
			steps, next := table.Advance(&policy, &s, lives, now)
			for _, step := range steps {
				if step.Kind != Fired {
					continue
				}
				switch {
				case slots[step.Slot]:
					t.Fatalf("%s fires twice", step.Slot)
				case table.Fires(step.Slot).After(now):
					t.Fatalf("%s fires at %s", step.Slot, now)
				case lives && (policy.Overlap == OverlapSkip || policy.Overlap == OverlapQueue):
					t.Fatalf("%s fires while the last run goes on", step.Slot)
				case lives && step.Cancel != (policy.Overlap == OverlapCancel):
					t.Fatalf("%s fires: %+v", step.Slot, step)
				}
				slots[step.Slot], lives = true, true
			}
			if want := table.NextFire(&s); !next.Equal(want) && (s.Waiting.IsZero() || next.After(want)) {
				t.Fatalf("next %s, want %s", next, want)
			}
		}
		total := len(slices.Collect(Plan([]*Timetable{table}, begin.Add(time.Millisecond), s.Cursor.Add(time.Millisecond))))
		waits := 0
		if !s.Waiting.IsZero() {
			waits = 1
		}
		if s.Fired != len(slots) || s.Fired+int(s.Missed+s.Skipped)+waits != total {
			t.Fatalf("%d slots: %d fired, counted as %d, %d missed, %d skipped, %d wait", total, len(slots), s.Fired, s.Missed, s.Skipped, waits)
		}
	})
}

func TestStateOfRuns(t *testing.T) {
	t.Parallel()
	p := Policy{PauseOnFailure: 2}
	s := Begin(noon)
	s.Ended(&p, job.Dead, at(1))
	s.Ended(&p, job.Succeeded, at(2))
	s.Ended(&p, job.Dead, at(3))
	s.Ended(&p, job.Cancelled, at(4))
	if s.Paused != "" || s.Failures != 1 {
		t.Fatalf("after one failure in a row: %+v", s)
	}
	s.Waiting = at(4)
	s.Ended(&p, job.Dead, at(5))
	if s.Paused != PausedByFailure || !s.PausedAt.Equal(at(5)) || s.Skipped != 1 || !s.Waiting.IsZero() {
		t.Fatalf("after two: %+v", s)
	}
	s.Resume(at(9))
	if s.Paused != "" || s.Failures != 0 || !s.Cursor.Equal(at(9)) {
		t.Fatalf("resumed: %+v", s)
	}
	s.Skip(at(8))
	if !s.Cursor.Equal(at(9)) {
		t.Errorf("the cursor went back: %+v", s)
	}
}

func TestTriggered(t *testing.T) {
	t.Parallel()
	s := Begin(noon)
	if step, ok := s.Triggered(&Trigger{}, true, at(1)); !ok || !cmp.Equal(step, fired(1)) {
		t.Errorf("now: %+v, %v", step, ok)
	}
	if step, ok := s.Triggered(&Trigger{Slot: at(-9), Overlap: OverlapCancel}, true, at(1)); !ok || !step.Cancel {
		t.Errorf("in the place of the last run: %+v, %v", step, ok)
	}
	backfill := func(id string, minutes int) bool {
		_, ok := s.Triggered(&Trigger{Slot: at(minutes), Backfill: id}, false, at(1))
		return ok
	}
	if !backfill("a", -9) || backfill("a", -9) || !backfill("b", -9) || !backfill("a", -8) || backfill("a", -9) {
		t.Errorf("backfills: %+v", s.Backfills)
	}
	for _, id := range []string{"c", "d", "e", "f", "g", "h", "i"} {
		backfill(id, -9)
	}
	if len(s.Backfills) != keptBackfills || !s.Cursor.Equal(noon) || s.Fired != 0 {
		t.Errorf("many backfills: %+v", s)
	}
}

func TestPolicyIsValidated(t *testing.T) {
	t.Parallel()
	for field, p := range map[string]Policy{
		"overlap": {Overlap: "never"}, "catch_up": {CatchUp: "some"}, "pause_on_failure": {PauseOnFailure: -1},
		"catch_up_window": {CatchUpWindow: MaxCatchUpWindow + 1},
	} {
		if errs := p.Validate(); len(errs) != 1 || errs[0].Field != field {
			t.Errorf("%+v: %v", p, errs)
		}
	}
	both := Policy{CatchUp: CatchUpSkip, CatchUpWindow: aMinute}
	if errs := both.Validate(); len(errs) != 1 {
		t.Errorf("%+v: %v", both, errs)
	}
	good := Policy{OverlapQueue, CatchUpAll, aMinute, 3}
	if errs := good.Validate(); errs != nil || !good.Awaits() || (&Policy{}).Awaits() {
		t.Errorf("%+v: %v", good, errs)
	}
}
