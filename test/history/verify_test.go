package history

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

func at(ms int) time.Time { return time.UnixMilli(1_800_000_000_000 + int64(ms)) }

// good is a run in which a job succeeded, one was repeated after a failure, one after
// its node was killed, and one was cancelled; and two of a key came one after the
// other.
func good() *History {
	const ok, failed = 200, 500
	push := func(ref string, attempt int, epoch uint64, begin, end, answer int) Push {
		queue, key := "q", ""
		if ref[0] == 'k' {
			queue, key = "ordered", "k"
		}
		return Push{ID: "id-" + ref, Ref: ref, Queue: queue, Key: key, Worker: "w", Attempt: attempt, Epoch: epoch, Begin: at(begin), End: at(end), Answer: answer}
	}
	enqueue := func(ref string, begin int) Enqueue {
		queue, key := "q", ""
		if ref[0] == 'k' {
			queue, key = "ordered", "k"
		}
		return Enqueue{Ref: ref, ID: "id-" + ref, Queue: queue, Key: key, Told: Accepted, Begin: at(begin), End: at(begin + 1)}
	}
	stored := func(ref, status string, finished int, outcomes ...job.Outcome) Job {
		j := Job{ID: "id-" + ref, Queue: "q", Status: status, Attempt: len(outcomes), Finished: at(finished)}
		if ref[0] == 'k' {
			j.Queue = "ordered"
		}
		for i, o := range outcomes {
			j.Attempts = append(j.Attempts, Attempt{i + 1, o.String(), at(finished - 10)})
		}
		return j
	}
	return &History{
		Enqueues: []Enqueue{
			enqueue("a", 0), enqueue("b", 2), enqueue("c", 4), enqueue("d", 6), enqueue("k1", 8), enqueue("k2", 10),
			{Ref: "unknown", Queue: "q", Told: Unknown, Begin: at(12), End: at(13)},
			{Ref: "refused", Queue: "q", Told: Refused, Begin: at(12), End: at(13)},
		},
		Cancels:   []Cancel{{"id-d"}},
		Sightings: []Sighting{{"id-a", "succeeded", at(150)}, {"id-d", "cancelled", at(60)}},
		Pushes: []Push{
			push("a", 1, 1, 100, 130, ok),
			push("b", 1, 1, 130, 150, failed), push("b", 2, 1, 160, 180, ok),
			push("c", 1, 1, 200, 320, 0), push("c", 2, 2, 310, 330, ok),
			push("k1", 1, 1, 100, 120, failed), push("k1", 2, 1, 130, 140, ok), push("k2", 1, 1, 140, 150, ok),
		},
		Jobs: []Job{
			stored("a", "succeeded", 132, job.OutcomeSucceeded), stored("b", "succeeded", 182, job.OutcomeFailed, job.OutcomeSucceeded),
			stored("c", "succeeded", 332, job.OutcomeLost, job.OutcomeSucceeded), stored("d", "cancelled", 50),
			stored("k1", "succeeded", 142, job.OutcomeFailed, job.OutcomeSucceeded), stored("k2", "succeeded", 152, job.OutcomeSucceeded),
		},
		Losses: []Loss{{From: at(300), To: at(301), Queues: []string{"q"}}},
		Limits: map[string]Limits{
			"q":       {Concurrency: 1, WorkerConcurrency: 1, Rate: job.Rate{Limit: 100, Period: job.Duration(time.Second), Burst: 2}},
			"ordered": {KeyConcurrency: 1},
		},
		Wire: 2 * time.Millisecond, Settle: 2 * time.Millisecond,
	}
}

func TestACorrectRunHasNoViolation(t *testing.T) {
	t.Parallel()
	for _, v := range good().Verify() {
		t.Error(v)
	}
	if v := new(History).Verify(); len(v) != 0 {
		t.Errorf("of nothing: %v", v)
	}
}

// Each violation by itself is found, and told as what it is.
func TestEachViolationIsFound(t *testing.T) {
	t.Parallel()
	push := func(h *History, id string, attempt int) *Push {
		for i := range h.Pushes {
			if p := &h.Pushes[i]; p.ID == id && p.Attempt == attempt {
				return p
			}
		}
		panic("no such push")
	}
	stored := func(h *History, id string) *Job {
		for i := range h.Jobs {
			if j := &h.Jobs[i]; j.ID == id {
				return j
			}
		}
		panic("no such job")
	}
	move := func(p *Push, begin, end int) { p.Begin, p.End = at(begin), at(end) }
	for name, c := range map[string]struct {
		rule Rule
		seed func(h *History)
	}{
		"an accepted job is not stored": {Kept, func(h *History) {
			h.Enqueues = append(h.Enqueues, Enqueue{Ref: "x", ID: "id-x", Queue: "q", Told: Accepted})
		}},
		"a job that is older than what the store lost": {Kept, func(h *History) {
			h.Losses[0].Tail = 50 * time.Millisecond
			h.Enqueues = append(h.Enqueues, Enqueue{Ref: "x", ID: "id-x", Queue: "q", Told: Accepted, Begin: at(90), End: at(91)})
		}},
		"a pushed job is not stored": {Kept, func(h *History) {
			h.Pushes = append(h.Pushes, Push{ID: "id-u", Ref: "unknown", Queue: "q", Attempt: 1, Begin: at(900), End: at(901), Answer: 200})
		}},
		"a job waits for ever": {Ended, func(h *History) {
			h.Jobs = append(h.Jobs, Job{ID: "id-u", Queue: "q", Status: "waiting"})
		}},
		"a push of nothing": {Wanted, func(h *History) {
			h.Pushes = append(h.Pushes, Push{ID: "id-a", Ref: "nobody", Queue: "other", Attempt: 9, Begin: at(1), End: at(2)})
		}},
		"a refused job is pushed": {Wanted, func(h *History) {
			h.Pushes = append(h.Pushes, Push{ID: "id-r", Ref: "refused", Queue: "q", Attempt: 1, Begin: at(900), End: at(901), Answer: 200})
		}},
		"a job is pushed as of another queue": {Wanted, func(h *History) { push(h, "id-a", 1).Queue = "other" }},
		"a job of nobody": {Wanted, func(h *History) {
			h.Enqueues = h.Enqueues[:6]
			h.Jobs = append(h.Jobs, Job{ID: "id-x", Queue: "q", Status: "expired"})
		}},
		"an enqueue became two jobs": {Once, func(h *History) {
			h.Pushes = append(h.Pushes, Push{ID: "id-a2", Ref: "a", Queue: "q", Attempt: 1, Begin: at(900), End: at(901), Answer: 200})
		}},
		"two enqueues are one job": {Once, func(h *History) {
			h.Enqueues = append(h.Enqueues, Enqueue{Ref: "x", ID: "id-a", Queue: "q", Told: Accepted})
		}},
		"two ends are told":                    {EndedOnce, func(h *History) { h.Sightings = append(h.Sightings, Sighting{"id-a", "dead", at(900)}) }},
		"two ends are stored":                  {EndedOnce, func(h *History) { h.Jobs = append(h.Jobs, Job{ID: "id-a", Status: "succeeded"}) }},
		"a cancelled job ends otherwise":       {EndedOnce, func(h *History) { stored(h, "id-d").Status = "expired" }},
		"a success that never was":             {Agreed, func(h *History) { push(h, "id-a", 1).Answer = 500 }},
		"a success is forgotten":               {Agreed, func(h *History) { stored(h, "id-k2").Status = "dead" }},
		"dead without a failure":               {Agreed, func(h *History) { h.Sightings, stored(h, "id-d").Status = nil, "dead" }},
		"cancelled by nobody":                  {Agreed, func(h *History) { h.Cancels = nil }},
		"an attempt that is not recorded":      {Recorded, func(h *History) { stored(h, "id-b").Attempt = 1 }},
		"a recorded success that was none":     {Recorded, func(h *History) { stored(h, "id-b").Attempts[0].Outcome = "succeeded" }},
		"a recorded failure that was none":     {Recorded, func(h *History) { stored(h, "id-a").Attempts[0].Outcome = "timed_out" }},
		"pushed again after a success":         {NotRepeated, func(h *History) { push(h, "id-b", 1).Answer = 200 }},
		"pushed again, and the sender is gone": {NotRepeated, func(h *History) { push(h, "id-b", 1).Answer, stored(h, "id-b").Attempts = 0, nil }},
		"pushed twice at once":                 {NotRepeated, func(h *History) { move(push(h, "id-k1", 2), 110, 140) }},
		"repeated after a loss elsewhere":      {NotRepeated, func(h *History) { h.Losses[0].Queues = []string{"ordered"} }},
		"repeated before the loss":             {NotRepeated, func(h *History) { h.Losses[0].From, h.Losses[0].To = at(900), at(901) }},
		"an attempt's number is used twice": {Distinct, func(h *History) {
			push(h, "id-c", 2).Attempt, push(h, "id-c", 2).Epoch = 1, 1
		}},
		"pushed after its recorded end": {NotAfterEnd, func(h *History) { stored(h, "id-b").Finished = at(150) }},
		"pushed after its end was told": {NotAfterEnd, func(h *History) {
			h.Sightings = append(h.Sightings, Sighting{"id-b", "succeeded", at(155)})
		}},
		"pushed after its end, lost and not stale": {NotAfterEnd, func(h *History) { stored(h, "id-c").Finished = at(305) }},
		"a queue pushes too many":                  {WithinQueue, func(h *History) { move(push(h, "id-b", 2), 140, 180) }},
		"an owner's own pushes count on":           {WithinQueue, func(h *History) { push(h, "id-c", 2).Epoch = 1 }},
		"a key is pushed too often":                {WithinKey, func(h *History) { move(push(h, "id-k2", 1), 139, 150) }},
		"a lost push of a key is not waited for": {WithinKey, func(h *History) {
			h.Losses = append(h.Losses, Loss{From: at(125), To: at(126)})
			move(push(h, "id-k1", 1), 100, 135)
			push(h, "id-k1", 2).Epoch = 2
		}},
		"a worker gets too many": {WithinWorker, func(h *History) {
			h.Limits["ordered"] = Limits{WorkerConcurrency: 1}
			move(push(h, "id-k2", 1), 139, 150)
		}},
		"pushed too fast": {WithinRate, func(h *History) {
			move(push(h, "id-a", 1), 150, 152)
			move(push(h, "id-b", 1), 153, 155)
			move(push(h, "id-b", 2), 156, 158)
		}},
		"a key loses its order":        {InOrder, func(h *History) { move(push(h, "id-k2", 1), 122, 128) }},
		"a batch loses its order":      {InOrder, func(h *History) { batch(h); move(push(h, "id-k2", 1), 122, 128) }},
		"an attempt is lost by itself": {NothingBurned, func(h *History) { stored(h, "id-b").Attempts[0].Outcome = "lost" }},
		"an unseen attempt is lost": {NothingBurned, func(h *History) {
			stored(h, "id-d").Attempts = []Attempt{{1, "lost", at(900)}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			c.seed(h)
			found := map[Rule]bool{}
			for _, v := range h.Verify() {
				found[v.Rule] = true
			}
			if !found[c.rule] {
				t.Errorf("not found: %s; found %v", c.rule, found)
			}
		})
	}
}

// batch makes the two of a key come with one call.
func batch(h *History) {
	for i := range h.Enqueues {
		if e := &h.Enqueues[i]; e.Key != "" {
			e.Begin, e.End, e.Place = at(8), at(11), i
		}
	}
}

// What a loss excuses, and what two enqueues at once leave open, is no violation.
func TestWhatIsExcused(t *testing.T) {
	t.Parallel()
	for name, seed := range map[string]func(h *History){
		"a batch in its order": batch,
		"two at once in any order": func(h *History) {
			batch(h)
			for i := range h.Enqueues {
				if e := &h.Enqueues[i]; e.Ref == "k1" {
					e.Begin, e.End = at(9), at(10) // within the other's time
				}
			}
			h.Pushes = append(h.Pushes[:5], h.Pushes[7], h.Pushes[5], h.Pushes[6])
			k2 := &h.Pushes[5]
			k2.Begin, k2.End = at(80), at(90)
			h.Jobs[5].Finished = at(92)
		},
		"an unknown enqueue that is there": func(h *History) {
			h.Pushes = append(h.Pushes, Push{ID: "id-u", Ref: "unknown", Queue: "q", Attempt: 1, Begin: at(900), End: at(901), Answer: 200})
			h.Jobs = append(h.Jobs, Job{ID: "id-u", Queue: "q", Status: "succeeded", Attempt: 1, Finished: at(902)})
		},
		"a lost tail": func(h *History) {
			h.Losses[0].Tail = 250 * time.Millisecond
			h.Enqueues = append(h.Enqueues, Enqueue{Ref: "x", ID: "id-x", Queue: "q", Told: Accepted, Begin: at(90), End: at(91)})
		},
		"a lost success": func(h *History) { h.Pushes[3].Answer = 200 },
		"a timeout": func(h *History) {
			h.Pushes[1].Answer = 0
			h.Jobs[1].Attempts[0].Outcome = "timed_out"
		},
		"a stale push after the end": func(h *History) {
			h.Losses[0].To = at(400)
			h.Pushes[3].Begin, h.Pushes[3].End = at(350), at(351)
			h.Jobs[2].Finished = at(340)
		},
		"a rate after a rest": func(h *History) {
			h.Limits["q"] = Limits{Rate: job.Rate{Limit: 20, Period: job.Duration(time.Second), Burst: 2}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			seed(h)
			for _, v := range h.Verify() {
				t.Error(v)
			}
		})
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	var r Recorder
	r.Limit("q", Limits{Concurrency: 1})
	begin := time.Now()
	r.Enqueue(Enqueue{Ref: "a", ID: "id", Queue: "q", Told: Accepted, Begin: begin, End: time.Now()})
	r.Cancel("other")
	r.Lose(Loss{From: begin, To: begin})
	r.End(r.Begin(Push{ID: "id", Ref: "a", Queue: "q", Attempt: 1}), 200)
	before := r.History()
	r.Begin(Push{ID: "id", Ref: "a", Queue: "q", Attempt: 2})
	r.See("id", "succeeded")
	r.Job(Job{ID: "id", Queue: "q", Status: "succeeded", Attempt: 1, Finished: time.Now()})
	h := r.History()
	if len(before.Pushes) != 1 || len(h.Pushes) != 2 || h.Pushes[1].End.IsZero() || h.Pushes[0].Answer != 200 || h.Pushes[0].Begin.Before(begin) {
		t.Errorf("%+v, then %+v", before, h)
	}
	if len(h.Enqueues) != 1 || len(h.Cancels) != 1 || len(h.Losses) != 1 || len(h.Sightings) != 1 || len(h.Jobs) != 1 || h.Limits["q"].Concurrency != 1 {
		t.Errorf("%+v", h)
	}
	if v := h.Verify(); len(v) == 0 {
		t.Error("a push too many is not found")
	}
}
