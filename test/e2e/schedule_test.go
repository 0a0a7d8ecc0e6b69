package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// runs are the runs that a worker has received: the ids of the jobs of each slot. A push
// that is repeated has the same id.
type runs struct {
	t        *testing.T
	verifier webhook.Verifier

	mu sync.Mutex
	of map[time.Time]map[string]bool
}

func (r *runs) ServeHTTP(_ http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // its sender was killed before it had sent all: no push
	}
	slot, err2 := time.Parse(time.RFC3339, q.Header.Get(webhook.HeaderScheduledFor))
	if err := r.verifier.Verify(q.Header, body); err != nil || err2 != nil || q.Header.Get(webhook.HeaderSchedule) != "beat" {
		r.t.Errorf("a push with %v: %v, %v", q.Header, err, err2)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of[slot] == nil {
		r.of[slot] = map[string]bool{}
	}
	r.of[slot][q.Header.Get(webhook.HeaderID)] = true
}

// slots returns the slots from an instant to before another, and fails the test where one
// has two jobs.
func (r *runs) slots(from, to time.Time) (slots []time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for slot, ids := range r.of {
		if len(ids) != 1 {
			r.t.Errorf("the slot %s has the jobs %v", slot, ids)
		}
		if !slot.Before(from) && slot.Before(to) {
			slots = append(slots, slot)
		}
	}
	slices.SortFunc(slots, time.Time.Compare)
	return slots
}

// A schedule fires every second while its server is killed, it is paused, resumed,
// triggered and backfilled, and the server is killed again: each slot has one run.
func TestKillWhileAScheduleFires(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	dir := t.TempDir()
	secret := webhook.NewSecret()
	got := &runs{t: t, verifier: webhook.Verifier{Secrets: []webhook.Secret{secret}}, of: map[time.Time]map[string]bool{}}
	target := httptest.NewServer(got)
	defer target.Close()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	never := time.Now().AddDate(1, 0, 0)

	first := startServer(t, dir)
	_, err := first.PutWorker(ctx, "w", client.WorkerConfig{URL: target.URL, Queues: []string{"beats"}, SigningSecret: secret.Reveal(), Circuit: &job.Circuit{Mode: job.Off}})
	check(err)
	s, err := first.PutSchedule(ctx, "beat", client.ScheduleConfig{Every: job.Duration(time.Second), CatchUp: "all", Job: client.ScheduledJob{Queue: "beats", Type: "beat"}})
	check(err)
	began := s.CreatedAt
	until(t, "two slots have fired", func() bool { return len(got.slots(began, never)) >= 2 })
	first.kill()

	second := startServer(t, dir)
	restarted := time.Now()
	until(t, "a slot has fired after the restart", func() bool { return len(got.slots(restarted, never)) >= 1 })
	paused, err := second.PauseSchedule(ctx, "beat")
	check(err)
	triggered, err := second.TriggerSchedule(ctx, "beat")
	check(err)
	run, err := second.Wait(ctx, triggered)
	check(err)
	if run.Status != "succeeded" || run.ScheduledFor.Before(paused.PausedAt) {
		t.Errorf("the run that was triggered: %+v", run)
	}
	resumed := time.Now()
	_, err = second.ResumeSchedule(ctx, "beat")
	check(err)
	// The slots of the half hour before there was a schedule.
	const backfilled = 1800
	from := began.Truncate(time.Second).Add(-backfilled * time.Second)
	o, err := second.BackfillSchedule(ctx, "beat", client.BackfillRequest{From: from, To: from.Add(backfilled * time.Second)})
	check(err)
	until(t, "a part is backfilled", func() bool {
		o, err = second.Operation(ctx, o.ID, 0)
		check(err)
		return o.Done >= backfilled/10
	})
	second.kill()
	if o.Over() {
		t.Errorf("the backfill was over before the server was killed: %+v", o)
	}

	third := startServer(t, dir)
	if o, err = third.WaitOperation(ctx, o.ID); err != nil || o.Status != "succeeded" || o.Matched != backfilled || o.Done != backfilled {
		t.Errorf("%+v, %v", o, err)
	}
	restarted = time.Now()
	until(t, "all runs have arrived, and a slot has fired after the restart", func() bool {
		return len(got.slots(from, from.Add(backfilled*time.Second))) == backfilled && len(got.slots(restarted, never)) >= 1
	})
	_, err = third.PauseSchedule(ctx, "beat")
	check(err)
	queue := func() *client.Queue {
		q, err := third.Queue(ctx, "beats")
		check(err)
		return q
	}
	until(t, "all jobs have ended", func() bool { c := queue().Counts; return c["pending"]+c["running"]+c["retrying"]+c["scheduled"] == 0 })
	if n, total := queue().Counts["succeeded"], len(got.slots(time.Time{}, never)); n != int64(total) {
		t.Errorf("%d jobs, %d slots", n, total)
	}
	pausing := 0
	fired := slices.DeleteFunc(got.slots(began, never), func(slot time.Time) bool { return slot.Equal(run.ScheduledFor) })
	for i, slot := range fired {
		switch {
		case !slot.Equal(slot.Truncate(time.Second)):
			t.Errorf("%s is no slot", slot)
		case i == 0 && slot.Sub(began) > time.Second:
			t.Errorf("the first slot is %s, and the schedule of %s", slot, began)
		case i > 0 && slot.Sub(fired[i-1]) != time.Second:
			if pausing++; pausing > 1 || !fired[i-1].Before(paused.PausedAt.Add(time.Second)) || !slot.After(resumed) {
				t.Errorf("%s follows %s; it was paused at %s", slot, fired[i-1], paused.PausedAt)
			}
		}
	}
	t.Logf("%d slots of the schedule, %d backfilled", len(fired), backfilled)
	third.terminate(t)
}
