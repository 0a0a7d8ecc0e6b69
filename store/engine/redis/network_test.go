package redis_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// deaf is a network between an engine and its server that may lose answers.
type deaf struct {
	net.Listener
	server string
	losing atomic.Bool
	wait   sync.WaitGroup
}

func listenDeaf(t *testing.T, server string) *deaf {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deaf{Listener: l, server: server}
	d.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.wait.Go(func() { d.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		d.wait.Wait()
	})
	return d
}

func (d *deaf) carry(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", d.server)
	if err != nil {
		return
	}
	d.wait.Go(func() {
		_, _ = io.Copy(s, c)
		s.Close()
	})
	defer s.Close()
	for buf := make([]byte, 1<<16); ; {
		n, err := s.Read(buf)
		if err != nil || d.losing.Load() {
			return // the answer came this far, and the connection is cut
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A call whose answer was lost has been carried out once, and is not repeated
// unless by the caller; then it changes nothing more.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	network := listenDeaf(t, redistest.Start(t).Address())
	s := open(t, "redis://"+network.Addr().String()+"/", redis.Options{})
	h := s.acquire(0, alice)
	s.apply(0) // from here on the server knows the script
	lose := func(f func() error) {
		t.Helper()
		network.losing.Store(true)
		s.wants(engine.ErrUnavailable, f())
		network.losing.Store(false)
	}
	lose(func() error { _, err := s.commit(h.Fence, 1, add("n", 1)); return err })
	s.equal("the counter", s.counter("n"), int64(1))
	if res, err := s.commit(h.Fence, 1, add("n", 1)); err != nil || !res.Repeated {
		t.Errorf("the commit again: %+v, %v", res, err)
	}
	s.equal("the counter", s.counter("n"), int64(1))

	lose(func() error { return s.try(0, add("n", 1)) })
	s.equal("the counter", s.counter("n"), int64(2))

	guarded := engine.Group{Guards: []engine.Guard{{Key: []byte("k")}}, Puts: put("k", "v").Puts, Counters: add("n", 1).Counters}
	lose(func() error { return s.try(0, guarded) })
	s.apply(0, guarded)
	s.equal("the counter", s.counter("n"), int64(3))
}

// On a cluster too a command is sent once. The client's own cluster calls repeat
// what got no answer.
func TestAnswerIsLostOnCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	s := open(t, c.URL(""), redis.Options{})
	s.apply(0, add("n", 1))
	for _, n := range c.Nodes {
		n.Do(t, "CLIENT", "PAUSE", "4000", "WRITE")
	}
	s.wants(engine.ErrUnavailable, s.try(0, add("n", 1)))
	for _, n := range c.Nodes {
		n.Do(t, "CLIENT", "UNPAUSE")
	}
	s.equal("the counter", s.counter("n"), int64(1)) // who was to do it is gone
}

func TestReplicaIsAway(t *testing.T) {
	t.Parallel()
	watched := redistest.StartSentinel(t)
	prefix := unique()
	o := redis.Options{Shards: 3, Durability: redis.DurableReplicas(1)}
	s := &subject{t, openStore(t, parse(t, watched.URL("?timeout=2s&prefix="+prefix)), o), prefix}
	h := s.acquire(0, alice)
	if _, err := s.commit(h.Fence, 1, add("n", 1)); err != nil {
		t.Fatal(err)
	}
	watched.Replica.Kill()
	_, err := s.commit(h.Fence, 2, add("n", 1))
	s.wants(engine.ErrUnavailable, err)
	_, err = s.commit(engine.Fence{Epoch: 1, Nonce: bob}, 2)
	s.wants(engine.ErrFenced, err) // which is certain without any replica
	// What is read may not be durable yet, and what is refused because of it.
	guarded := engine.Group{Guards: []engine.Guard{{Key: []byte("k")}}, Puts: put("k", "v").Puts}
	s.wants(engine.ErrUnavailable, s.try(0, guarded))
	s.wants(engine.ErrUnavailable, s.try(0, guarded))
	watched.Replica.Restart(t)
	s.eventually(func() error {
		res, err := s.commit(h.Fence, 2, add("n", 1))
		if err == nil && !res.Repeated {
			err = errors.New("the commit was not there")
		}
		return err
	})
	s.equal("the counter", s.counter("n"), int64(2))
	s.eventually(func() error { return s.try(0, guarded) })
}

func TestFailover(t *testing.T) {
	t.Parallel()
	watched := redistest.StartSentinel(t)
	prefix := unique()
	target := parse(t, watched.URL("?timeout=2s&prefix="+prefix))
	s := &subject{t, openStore(t, target, redis.Options{Shards: 3, Durability: redis.DurableReplicas(1)}), prefix}
	h := s.acquire(0, alice)
	if _, err := s.commit(h.Fence, 1, put("k", "v"), add("n", 1)); err != nil {
		t.Fatal(err)
	}
	watched.Primary.Kill()
	watched.Promoted(t)
	s.eventually(func() error {
		_, err := s.Get(ctx(), 0, []byte("k"))
		return err
	})
	s.equal("the value", s.value(0, "k"), "v")
	if res, err := s.commit(h.Fence, 1); res.Repeated || !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("a commit without a replica: %+v, %v", res, err)
	}
	// Without the wait the new primary serves alone, and the old one's owner goes on.
	alone := &subject{t, openStore(t, target, redis.Options{}), prefix}
	if res, err := alone.commit(h.Fence, 2, add("n", 1)); err != nil || res.Repeated {
		t.Errorf("the next commit: %+v, %v", res, err)
	}
	alone.equal("the counter", alone.counter("n"), int64(2))
}

func TestSlotMoves(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	s := open(t, c.URL(""), redis.Options{})
	s.apply(0, put("k", "v"), add("n", 1))
	head := "{" + s.prefix + ":0}:head"
	slot := c.Nodes[0].Do(t, "CLUSTER", "KEYSLOT", head)
	var from, to *redistest.Server
	ids := map[*redistest.Server]any{}
	for _, n := range c.Nodes {
		ids[n] = n.Do(t, "CLUSTER", "MYID")
		if count := n.Do(t, "CLUSTER", "COUNTKEYSINSLOT", slot).(int64); count > 0 {
			from = n
		} else {
			to = n
		}
	}
	to.Do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[from])
	from.Do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
	s.apply(0, add("n", 1)) // nothing has moved yet

	move := func(keys ...any) {
		from.Do(t, append([]any{"MIGRATE", "127.0.0.1", to.Port, "", 0, 5000, "KEYS"}, keys...)...)
	}
	move(head)
	s.wants(engine.ErrUnavailable, s.try(0, add("n", 100))) // half of it has
	rest := from.Do(t, "CLUSTER", "GETKEYSINSLOT", slot, 10).([]any)
	if len(rest) != 4 {
		t.Fatalf("the shard has %v left", rest)
	}
	move(rest...)
	s.apply(0, add("n", 1)) // all of it has: ASK
	to.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", ids[to])
	from.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", ids[to])
	s.apply(0, add("n", 1)) // MOVED
	s.equal("the counter", s.counter("n"), int64(4))
	s.equal("the value", s.value(0, "k"), "v")
}

func TestNodeOfClusterIsKilled(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, "cluster-require-full-coverage no")
	const shards = 24 // so that each node has some
	s := &subject{TB: t, Engine: openStore(t, parse(t, c.URL("?timeout=1s")), redis.Options{Shards: shards})}
	c.Nodes[1].Kill()
	away := 0
	for n := range shards {
		begin := time.Now()
		if err := s.try(n, put("k", "v")); err != nil {
			away++
			s.wants(engine.ErrUnavailable, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("shard %d took %s", n, took)
		}
	}
	if away == 0 || away == shards {
		t.Errorf("%d of %d shards are away", away, shards)
	}
	c.Nodes[1].Restart(t)
	for n := range shards {
		s.eventually(func() error { return s.try(n, put("k", "w")) })
		s.equal("the value", s.value(n, "k"), "w")
	}
}
