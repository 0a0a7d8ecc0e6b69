package control

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// contended is a store in which another job holds every lock, and an owner that
// answers as the test says.
type contended struct {
	scripted
	holder   *job.Job
	asked    int
	replaced int // by which time of asking the job is stored; 0 for never
	pendings int // how many enqueues find the idempotency key pending
	fail     error
}

func (s *contended) Enqueue(_ context.Context, _ int, jobs []store.NewJob) ([]store.Enqueued, error) {
	done := make([]store.Enqueued, len(jobs))
	for i := range jobs {
		switch {
		case s.pendings > 0:
			s.pendings--
			done[i] = store.Enqueued{Pending: true}
		case s.asked >= s.replaced && s.replaced > 0:
			done[i] = store.Enqueued{Job: jobs[i].Job}
		default:
			done[i] = store.Enqueued{Job: s.holder, Held: true}
		}
	}
	return done, nil
}

func (s *contended) Replace(_ context.Context, _ int, jobs []store.NewJob, holders []job.ID) (uint64, error) {
	if len(jobs) != 1 || holders[0] != s.holder.ID {
		return 0, errors.New("asked for another")
	}
	s.asked++
	return uint64(s.asked), s.fail
}

// TestReplaceWaits: how long a replacement is waited for, and what it is answered.
func TestReplaceWaits(t *testing.T) {
	t.Parallel()
	holder := func() *job.Job { return &job.Job{ID: job.ID{1}, Status: job.Waiting, Queue: "q"} }
	started := holder()
	started.StartedAt = time.Unix(1, 0)
	for name, tt := range map[string]struct {
		store    contended
		conflict job.UniqueConflict
		want     Kind // 0: the new job
		asked    int
		took     time.Duration
	}{
		"at once":               {store: contended{replaced: 1}, asked: 1},
		"at the third time":     {store: contended{replaced: 3}, asked: 3, took: 3 * time.Millisecond},
		"its key is pending":    {store: contended{pendings: 3, replaced: 1}, asked: 1, took: 3 * time.Millisecond},
		"its key stays pending": {store: contended{pendings: 1000}, want: Unavailable, took: commandWait},
		"no owner answers":      {store: contended{scripted: scripted{pending: true}}, want: Unavailable, asked: 1, took: commandWait},
		"others are faster":     {store: contended{}, want: Conflict, asked: 45, took: commandWait},
		"it has been started":   {store: contended{holder: started}, want: Conflict},
		"the store is away":     {store: contended{fail: store.ErrUnavailable}, want: Unavailable, asked: 1},
		"it is to be rejected":  {conflict: job.ConflictReject, want: Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &tt.store
				if s.holder == nil {
					s.holder = holder()
				}
				if tt.conflict == "" {
					tt.conflict = job.ConflictReplace
				}
				c := New(Options{Store: s, Dispatcher: newIdle()})
				began := time.Now()
				r, err := c.Enqueue(root(t), &NewJob{Queue: "q", Type: "t", Unique: &job.Unique{OnConflict: tt.conflict}})
				if KindOf(err) != tt.want || (err == nil) != (tt.want == 0) {
					t.Errorf("Enqueue = %+v, %v", r, err)
				}
				if e := (*Error)(nil); errors.As(err, &e) && (e.Kind == Conflict) != (e.Job == s.holder.ID) {
					t.Errorf("it names %s", e.Job)
				}
				if err == nil && (r.Existing || r.Job.Unique == nil) {
					t.Errorf("the new job: %+v", r)
				}
				if took := time.Since(began); took < tt.took || took > tt.took+50*time.Millisecond {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
				if s.asked != tt.asked {
					t.Errorf("it was asked for %d times, want %d", s.asked, tt.asked)
				}
			})
		})
	}
}

func TestReplaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &contended{holder: &job.Job{ID: job.ID{1}, Status: job.Waiting, Queue: "q"}}
		c := New(Options{Store: s, Dispatcher: newIdle()})
		ctx, cancel := context.WithTimeout(root(t), time.Second)
		defer cancel()
		outcomes, err := c.EnqueueBatch(ctx, []NewJob{{Queue: "q", Type: "t", Unique: &job.Unique{OnConflict: job.ConflictReplace}}})
		if KindOf(err) != Unavailable || KindOf(outcomes[0].Err) != Unavailable {
			t.Errorf("EnqueueBatch = %+v, %v", outcomes, err)
		}
	})
}
