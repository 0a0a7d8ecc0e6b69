package control

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// idle is a dispatcher that does nothing but remember its configuration.
type idle struct {
	configured chan dispatcher.Config
	settled    chan struct{}
}

func newIdle() *idle {
	return &idle{configured: make(chan dispatcher.Config, 100), settled: make(chan struct{})}
}

func (d *idle) Configure(c dispatcher.Config)        { d.configured <- c }
func (*idle) Wake(int)                               {}
func (*idle) Serves(int) bool                        { return true }
func (*idle) Running(ids ...job.ID) []bool           { return make([]bool, len(ids)) }
func (*idle) KeyLive(_, _ string) dispatcher.KeyLive { return dispatcher.KeyLive{} }
func (*idle) Explain(_, _ *job.Job, _ time.Time) dispatcher.Explanation {
	return dispatcher.Explanation{}
}
func (*idle) QueueLive(string) dispatcher.QueueLive    { return dispatcher.QueueLive{} }
func (*idle) WorkerLive(string) dispatcher.WorkerLive  { return dispatcher.WorkerLive{} }
func (d *idle) Watch(job.ID) (<-chan struct{}, func()) { return d.settled, func() {} }

// scripted is a store whose one job and inbox behave as a test says.
type scripted struct {
	Store
	jobs    []*job.Job // as they are read, one after the other; the last one stays
	pending bool
	err     error
}

func (s *scripted) Journal(context.Context, job.ID) (*store.Journal, error) {
	return &store.Journal{}, nil
}

func (s *scripted) GetAccepted(context.Context, job.ID) (*store.Accepted, error) {
	return nil, store.ErrNotFound
}

func (s *scripted) Shards() int                            { return 4096 }
func (s *scripted) Now(context.Context) (time.Time, error) { return time.Now(), s.err }
func (s *scripted) Send(context.Context, store.Command) (uint64, error) {
	return 1, s.err
}

func (s *scripted) InboxPending(context.Context, int, uint64) (bool, error) { return s.pending, nil }

func (s *scripted) Result(context.Context, job.ID) ([]byte, string, error) {
	return nil, "", store.ErrNotFound
}

func (s *scripted) Job(context.Context, job.ID) (*job.Job, error) {
	j := s.jobs[0]
	if len(s.jobs) > 1 {
		s.jobs = s.jobs[1:]
	}
	if j == nil {
		return nil, store.ErrNotFound
	}
	return j, nil
}

func root(t *testing.T) context.Context { return As(t.Context(), Root()) }

func TestCommandsThatTheOwnerIsSlowToTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waiting := &job.Job{Status: job.Waiting, Queue: "q"}
		s := &scripted{jobs: []*job.Job{waiting}, pending: true}
		c := New(Options{Store: s, Dispatcher: newIdle()})
		began := time.Now()
		done, err := c.Cancel(root(t), job.ID{1})
		if err != nil || !done.Requested || done.Job.Shown != job.ShownPending {
			t.Errorf("Cancel = %+v, %v", done, err)
		}
		if took := time.Since(began); took != commandWait {
			t.Errorf("it was waited for %v, want %v", took, commandWait)
		}
	})
}

func TestCommandsThatCameTooLate(t *testing.T) {
	t.Parallel()
	waiting, succeeded := &job.Job{Status: job.Waiting, Queue: "q"}, &job.Job{Status: job.Succeeded, Queue: "q"}
	cancelled := &job.Job{Status: job.Cancelled, Queue: "q"}
	again := &job.Job{Status: job.Waiting, Queue: "q", Incarnation: 1}
	tests := []struct {
		name   string
		do     func(*Control, context.Context, job.ID) (Commanded, error)
		before *job.Job
		after  *job.Job
		want   Kind
	}{
		{"cancel", (*Control).Cancel, waiting, cancelled, 0},
		{"cancel after it ended", (*Control).Cancel, waiting, succeeded, Conflict},
		{"cancel after it was deleted", (*Control).Cancel, waiting, nil, NotFound},
		{"retry", (*Control).Retry, succeeded, again, 0},
		{"retry that was refused", (*Control).Retry, succeeded, succeeded, Conflict},
		{"run now", (*Control).RunNow, waiting, waiting, 0},
		{"run now and done", (*Control).RunNow, waiting, succeeded, 0},
		{"run now after a cancel", (*Control).RunNow, waiting, cancelled, Conflict},
		{"delete", (*Control).Delete, succeeded, nil, 0},
		{"delete after a retry", (*Control).Delete, succeeded, again, Conflict},
		{"delete what waits", (*Control).Delete, waiting, waiting, Conflict},
		{"retry what waits", (*Control).Retry, waiting, waiting, Conflict},
	}
	for _, tt := range tests {
		c := New(Options{Store: &scripted{jobs: []*job.Job{tt.before, tt.after}}, Dispatcher: newIdle()})
		done, err := tt.do(c, root(t), job.ID{1})
		if KindOf(err) != tt.want || (err != nil) != (tt.want != 0) || done.Requested {
			t.Errorf("%s: %+v, %v; want kind %d", tt.name, done, err, tt.want)
		}
	}
}

func TestWaitEndsInTime(t *testing.T) {
	t.Parallel()
	waiting, dead := &job.Job{Status: job.Waiting, Queue: "q"}, &job.Job{Status: job.Dead, Queue: "q"}
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Store: &scripted{jobs: []*job.Job{waiting}}, Dispatcher: newIdle()})
		began := time.Now()
		if j, err := c.GetJob(root(t), job.ID{1}, time.Hour, false); err != nil || j.Shown != job.ShownPending || time.Since(began) != MaxWait {
			t.Errorf("after %v: %v, %v", time.Since(began), j, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := newIdle()
		c := New(Options{Store: &scripted{jobs: []*job.Job{waiting, waiting, dead}}, Dispatcher: d})
		time.AfterFunc(3*time.Second, func() { close(d.settled) })
		began := time.Now()
		if j, err := c.GetJob(root(t), job.ID{1}, 30*time.Second, false); err != nil || j.Shown != "dead" || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v, %v", time.Since(began), j, err)
		}
	})
}

func TestNothingIsAllowedToNobody(t *testing.T) {
	t.Parallel()
	c := New(Options{Store: &scripted{jobs: []*job.Job{{Status: job.Waiting, Queue: "q"}}}, Dispatcher: newIdle()})
	ctx := t.Context() // without a principal
	_, enqueue := c.Enqueue(ctx, &NewJob{Type: "t"})
	_, read := c.GetJob(ctx, job.ID{1}, 0, false)
	_, cancel := c.Cancel(ctx, job.ID{1})
	_, list := c.ListJobs(ctx, JobQuery{})
	_, queue := c.GetQueue(ctx, "q")
	_, _, put := c.PutQueue(ctx, "q", Match{}, QueueSpec{})
	_, key := c.CreateAPIKey(ctx, NewAPIKey{Name: "n", Scopes: []string{"admin"}})
	_, signing := c.SigningKeys(ctx)
	for name, err := range map[string]error{
		"enqueue": enqueue, "read": read, "cancel": cancel, "list": list, "queue": queue, "put": put, "key": key, "signing": signing,
	} {
		if k := KindOf(err); k != Forbidden && k != NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"read", "jobs:write", "workers:write", "admin", "read@a", "jobs:write@billing.*", "admin@a*"} {
		if s, err := ParseScope(text); err != nil || s.String() != text {
			t.Errorf("ParseScope(%q) = %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "write", "READ", "read@", "read@*", "read@A*", "read@a.*.*", "read@a@b", "*", "read ", "jobs"} {
		if s, err := ParseScope(text); err == nil {
			t.Errorf("ParseScope(%q) = %v", text, s)
		}
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		place, query := rapid.String().Draw(t, "place"), rapid.String().Draw(t, "query")
		text := encodeCursor(place, query)
		if got, err := decodeCursor(text, query); err != nil || got != place {
			t.Fatalf("decodeCursor = %q, %v; want %q", got, err, place)
		}
		if _, err := decodeCursor(text, query+"x"); err == nil {
			t.Fatal("a cursor of another query was read")
		}
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		garbled := text[:i] + rapid.StringMatching(`[A-Za-z0-9_-]`).Draw(t, "byte") + text[i+1:]
		if _, err := decodeCursor(garbled, query); garbled != text && err == nil {
			t.Fatalf("the garbled cursor %q was read", garbled)
		}
	})
}

func TestAPIKeyForm(t *testing.T) {
	t.Parallel()
	key := GenerateAPIKey()
	if !wellFormed(key) || key == GenerateAPIKey() || !strings.HasPrefix(key, "ox_") || strings.ToLower(key) != key {
		t.Errorf("key %q", key)
	}
	for i := range key {
		garbled := key[:i] + "!" + key[i+1:]
		if wellFormed(garbled) {
			t.Errorf("%q is well-formed", garbled)
		}
	}
	for text, ok := range map[string]bool{
		key: true, key[:len(key)-1]: false, "short": false, "a-long-enough-passphrase": true, "with spaces in the middle of it": false, "ünicode-is-no-header-value": false,
	} {
		if err := CheckRootKey(text); (err == nil) != ok {
			t.Errorf("CheckRootKey(%q) = %v", text, err)
		}
	}
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	first, second, third := webhook.NewSecret(), webhook.NewSecret(), webhook.NewSecret()
	ring := newKeyring(first, now)
	ring, err := ring.rotate(second, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	ring, err = ring.rotate(third, 0, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after time.Duration
		want  []webhook.Secret
		next  time.Duration
	}{
		{time.Minute, []webhook.Secret{third, first}, time.Hour},
		{time.Hour - 1, []webhook.Secret{third, first}, time.Hour},
		{time.Hour, []webhook.Secret{third}, 0},
	} {
		got, err := ring.active(now.Add(tt.after))
		if err != nil || !slices.EqualFunc(got, tt.want, webhook.Secret.Equal) {
			t.Errorf("after %v: %d secrets, %v; want %d", tt.after, len(got), err, len(tt.want))
		}
		next := ring.nextEnd(now.Add(tt.after))
		if next.IsZero() != (tt.next == 0) || tt.next != 0 && !next.Equal(now.Add(tt.next)) {
			t.Errorf("after %v: the next end is %v", tt.after, next)
		}
	}
	if again, err := ring.rotate(first, time.Hour, now.Add(2*time.Minute)); err != nil || len(again) != 2 {
		t.Errorf("a secret that comes back is there once: %d, %v", len(again), err)
	}
}

// flaky is a real store whose documents fail while it is told to.
type flaky struct {
	*store.Store
	down chan error // holds the errors of the next reads of documents
}

func (f *flaky) ListDocuments(ctx context.Context, kind, after string, limit int) ([]store.Document, error) {
	select {
	case err := <-f.down:
		return nil, err
	default:
		return f.Store.ListDocuments(ctx, kind, after, limit)
	}
}

func newLoaded(t *testing.T) (*Control, *flaky, *idle) {
	t.Helper()
	e, err := pebble.OpenMemory(pebble.Options{Shards: 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s, d := &flaky{Store: store.New(e), down: make(chan error, 10)}, newIdle()
	c := New(Options{Store: s, Dispatcher: d, Guard: push.NewGuard(nil, true)})
	config, err := c.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if first := <-d.configured; len(first.SigningSecrets) != 1 || len(config.SigningSecrets) != 1 {
		t.Errorf("first configuration: %+v", first)
	}
	return c, s, d
}

func TestConfigurationIsLiveWhenAcknowledged(t *testing.T) {
	t.Parallel()
	c, s, d := newLoaded(t)
	ctx := root(t)
	spec := DefaultWorker()
	spec.URL, spec.Queues, spec.Timeout, spec.OnGone = "http://127.0.0.1:9/x", []string{"a"}, job.Duration(time.Minute), OnGoneIgnore
	if _, created, err := c.PutWorker(ctx, "w", Match{}, spec); err != nil || !created {
		t.Fatal(err)
	}
	w := (<-d.configured).Workers[0]
	if w.Name != "w" || w.URL != spec.URL || w.Timeout != time.Minute || !w.IgnoreGone || len(w.Secrets) != 1 || w.Weight != 1 {
		t.Errorf("live worker %+v", w)
	}
	if _, err := c.PauseQueue(ctx, "a", "x"); err != nil {
		t.Fatal(err)
	}
	if q := (<-d.configured).Queues["a"]; !q.Paused || q.Concurrency != DefaultQueueConcurrency {
		t.Errorf("live queue %+v", q)
	}
	// Another Control on the same store, as after a restart, has the same.
	restarted := newIdle()
	again := New(Options{Store: s, Dispatcher: restarted, Guard: push.NewGuard(nil, true)})
	t.Cleanup(again.Close)
	if _, err := again.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := <-restarted.configured
	if len(after.Workers) != 1 || !after.Workers[0].Secrets[0].Equal(w.Secrets[0]) || !after.Queues["a"].Paused {
		t.Errorf("after a restart: %+v", after)
	}
	if err := c.DeleteWorker(ctx, "w", Match{}); err != nil {
		t.Fatal(err)
	}
	if config := <-d.configured; len(config.Workers) != 0 {
		t.Errorf("after its end: %+v", config.Workers)
	}
}

func TestUnsureChangesAreReadAnew(t *testing.T) {
	t.Parallel()
	c, s, d := newLoaded(t)
	// Somebody else changes a document, and this node's change is overtaken.
	if _, _, err := s.PutDocument(t.Context(), kindQueue, "q", []byte(`{"concurrency":7}`), store.ExpectAny); err != nil {
		t.Fatal(err)
	}
	s.down <- store.ErrUnavailable // the first try to read anew fails
	if err := c.unsure(kindQueue, store.ErrVersion); KindOf(err) != Stale {
		t.Errorf("unsure = %v", err)
	}
	select {
	case config := <-d.configured:
		if config.Queues["q"].Concurrency != 7 {
			t.Errorf("read anew: %+v", config.Queues)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the configuration was not read anew")
	}
}

func TestLoadFails(t *testing.T) {
	t.Parallel()
	c := New(Options{Store: &flaky{down: func() chan error {
		ch := make(chan error, 1)
		ch <- store.ErrUnavailable
		return ch
	}()}, Dispatcher: newIdle()})
	if _, err := c.Load(t.Context()); KindOf(err) != Unavailable || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Load = %v", err)
	}
	c.Close() // what was not started need not be stopped
}
