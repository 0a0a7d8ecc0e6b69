package cluster_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
	"github.com/orchestrix/orchestrix/test/history"
)

// everysec is how long Redis may keep what it has acknowledged from its file, with
// appendfsync everysec: while a sync takes long, it puts off the next write.
const everysec = 2 * time.Second

// fault is something that happens to Redis while jobs are pushed.
type fault struct {
	config []string // of the server
	// begin makes it happen, end undoes it.
	begin, end func(*testing.T, *redistest.Server, *proxy)
	// away says that enqueues are to fail while it lasts, and what was in flight may be
	// repeated; lost, that the nodes say so in the log too. Otherwise nothing may be.
	away, lost bool
	// tail is how much of what it acknowledged Redis may have lost.
	tail time.Duration
	// full says that enqueues are to fail, and nothing may be repeated.
	full bool
	// refuses says that some enqueues may fail, and nothing may be repeated.
	refuses bool
	long    bool // not in the short form
}

func server(f func(*testing.T, *redistest.Server)) func(*testing.T, *redistest.Server, *proxy) {
	return func(t *testing.T, s *redistest.Server, _ *proxy) { t.Helper(); f(t, s) }
}

func command(words ...any) func(*testing.T, *redistest.Server, *proxy) {
	return server(func(t *testing.T, s *redistest.Server) { t.Helper(); s.Do(t, words...) })
}

func faults() map[string]fault {
	kill := server(func(_ *testing.T, s *redistest.Server) { s.Kill() })
	restart := server(func(t *testing.T, s *redistest.Server) { t.Helper(); s.Restart(t) })
	var kept any // what FLUSHALL took
	return map[string]fault{
		"killed, AOF always":   {begin: kill, end: restart, away: true, long: true},
		"killed, AOF everysec": {config: []string{"appendfsync everysec"}, begin: kill, end: restart, away: true, tail: everysec},
		"paused":               {begin: server(freeze), end: server(thaw), away: true, long: true},
		"read-only": {
			begin: command("REPLICAOF", "127.0.0.1", "1"), end: command("REPLICAOF", "NO", "ONE"), away: true, long: true,
		},
		"memory is full": {
			begin: command("CONFIG", "SET", "maxmemory", "1mb"), end: command("CONFIG", "SET", "maxmemory", "0"), full: true,
		},
		"FLUSHALL, and put back": {
			begin: server(func(t *testing.T, s *redistest.Server) { t.Helper(); kept = flush(t, s) }),
			end:   server(func(t *testing.T, s *redistest.Server) { t.Helper(); restore(t, s, kept) }),
			away:  true, lost: true, long: true,
		},
		"SCRIPT FLUSH": {begin: command("SCRIPT", "FLUSH"), end: command("SCRIPT", "FLUSH"), long: true},
		"300 ms away": {
			begin: func(_ *testing.T, _ *redistest.Server, p *proxy) { p.delay.Store(int64(300 * time.Millisecond)) },
			end:   func(_ *testing.T, _ *redistest.Server, p *proxy) { p.delay.Store(0) },
			long:  true,
		},
		"connections are cut": {
			begin: func(_ *testing.T, _ *redistest.Server, p *proxy) { p.cutEvery.Store(20) },
			end: func(t *testing.T, _ *redistest.Server, p *proxy) {
				t.Helper()
				if p.cutEvery.Store(0); p.cuts.Load() == 0 {
					t.Error("no connection was cut")
				}
			},
			refuses: true,
		},
	}
}

// freeze stops the server, for at least five seconds.
func freeze(t *testing.T, s *redistest.Server) {
	t.Helper()
	s.Freeze(t)
	<-time.NewTimer(5 * time.Second).C
}

func thaw(t *testing.T, s *redistest.Server) { t.Helper(); s.Thaw(t) }

// flush takes everything, in one step, and returns it.
func flush(t *testing.T, s *redistest.Server) any {
	t.Helper()
	return s.Do(t, "EVAL", `local kept = {}
		for _, key in ipairs(redis.call('KEYS', '*')) do
			kept[#kept + 1], kept[#kept + 2] = key, redis.call('DUMP', key)
		end
		redis.call('FLUSHALL')
		return kept`, 0)
}

// restore puts it back, in one step too, as a server that is started on its backup
// does: a shard that has its head and not yet its data would be served.
func restore(t *testing.T, s *redistest.Server, kept any) {
	t.Helper()
	words := []any{"EVAL", `for i = 1, #ARGV, 2 do
			redis.call('RESTORE', ARGV[i], 0, ARGV[i + 1], 'REPLACE')
		end`, 0}
	s.Do(t, append(words, kept.([]any)...)...)
}

// Whatever happens to Redis, nothing that was acknowledged is lost, nothing is
// repeated but what was in flight, no call hangs, no node spins, and all goes on
// by itself when it is over.
func TestRedisFails(t *testing.T) {
	t.Parallel()
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if f.long && testing.Short() {
				t.Skip("it is for the long form")
			}
			f.run(t)
		})
	}
}

func (f fault) run(t *testing.T) {
	s := redistest.Start(t, f.config...)
	p := startProxy(t, s.Address())
	c := startOn(t, p.url(), 2, flaky())
	c.limit()
	perSecond, jobs := 100, 500
	if testing.Short() {
		perSecond, jobs = 50, 100
	}
	l := c.load(perSecond)
	l.more(jobs)
	if l.errors.Load() > 0 {
		t.Errorf("an enqueue failed before anything happened: %v", l.first)
	}
	from := time.Now()
	f.begin(t, s, p)
	switch {
	case f.away, f.full:
		l.stop() // what is under way is told
		c.unavailable(f)
		c.idle()
		l = c.load(perSecond)
		l.untilErrors(1)
		f.end(t, s, p)
	case f.refuses:
		l.more(jobs)
		f.end(t, s, p)
	default:
		l.more(jobs)
		f.end(t, s, p)
		if l.errors.Load() > 0 {
			t.Errorf("an enqueue failed: %v", l.first)
		}
	}
	over := time.Now()
	c.untilReady()
	c.untilServed()
	t.Logf("ready and served %s after it was over", time.Since(over))
	if f.away {
		c.history.Lose(history.Loss{From: from, To: time.Now(), Tail: f.tail})
	}
	l.more(jobs)
	l.stop()
	c.verify(c.all[0])
}

// unavailable checks, on each node, that an enqueue is told to come again, soon, and
// that the node says so of itself while its process lives.
func (c *nodes) unavailable(f fault) {
	c.t.Helper()
	for _, n := range c.all {
		if f.away {
			c.until("the node is not ready", func() bool { return !n.ready(c.ctx) })
		}
		if f.lost {
			c.until("the node says what is lost", func() bool { return strings.Contains(n.said.String(), "record is missing") })
		}
		begin := time.Now()
		_, err := n.once.Enqueue(c.ctx, client.NewJob{Queue: c.queues[0], Type: "refused"})
		var problem *client.Problem
		if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || problem.RetryAfter <= 0 {
			c.t.Errorf("an enqueue: %v, want 503 with Retry-After", err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			c.t.Errorf("an enqueue took %s to fail", took)
		}
		if status := n.probe(c.ctx, "/healthz"); status != http.StatusOK {
			c.t.Errorf("/healthz answers %d", status)
		}
	}
}

// idle checks that nodes which can do nothing do little.
func (c *nodes) idle() {
	c.t.Helper()
	var before []time.Duration
	for _, n := range c.all {
		before = append(before, n.used(c.t))
	}
	begin := time.Now()
	<-time.NewTimer(2 * time.Second).C
	for i, n := range c.all {
		used, took := n.used(c.t)-before[i], time.Since(begin)
		c.t.Logf("a node used %s of CPU in %s", used, took)
		if used > took/2 {
			c.t.Errorf("a node used %s of CPU in %s while it could do nothing", used, took)
		}
	}
}

// untilErrors waits until so many calls have failed.
func (l *load) untilErrors(n int64) {
	l.c.t.Helper()
	l.c.until("calls fail", func() bool { return l.errors.Load() >= n })
}
