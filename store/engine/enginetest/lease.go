package enginetest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// long outlasts every check; short runs out while a check looks on.
const (
	long  = time.Hour
	short = 100 * time.Millisecond
)

var (
	alice = engine.Nonce{'a'}
	bob   = engine.Nonce{'b'}
)

var leaseChecks = []check{
	{"Lease/a new shard is nobody's", func(s *subject) {
		s.diff(engine.Head{}, s.head(0))
		s.wantFenced(0, engine.Fence{})
		s.wantFenced(0, engine.Fence{Nonce: alice})
	}},
	{"Lease/acquire", func(s *subject) {
		before := s.now()
		h := s.acquire(0, alice, long)
		after := s.now()
		s.diff(alice, h.Nonce)
		if h.Epoch < uint64(before.UnixMilli()) || h.Epoch > uint64(after.UnixMilli()) {
			s.Errorf("epoch %d, want engine time, %d to %d", h.Epoch, before.UnixMilli(), after.UnixMilli())
		}
		if h.Expires.Before(before.Add(long)) || h.Expires.After(after.Add(long)) {
			s.Errorf("lease ends at %v, want an hour from %v to %v", h.Expires, before, after)
		}
		s.diff(h, s.head(0))
	}},
	{"Lease/held by another", func(s *subject) {
		h := s.acquire(0, alice, long)
		_, err := s.Engine.Acquire(s.ctx, 0, bob, long)
		var held *engine.HeldError
		if !errors.As(err, &held) {
			s.Fatalf("Acquire: %v, want a HeldError", err)
		}
		s.diff(h, held.Head)
		s.diff(h, s.head(0))
	}},
	{"Lease/the owner acquires anew", func(s *subject) {
		first := s.acquire(0, alice, long)
		second := s.acquire(0, alice, long)
		if second.Epoch <= first.Epoch {
			s.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
		}
		s.wantFenced(0, first.Fence)
		s.wantOwner(0, second.Fence)
	}},
	{"Lease/runs out and is taken", func(s *subject) {
		first := s.acquire(0, alice, short)
		s.pass(short)
		second := s.acquire(0, bob, long)
		if second.Epoch <= first.Epoch {
			s.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
		}
		s.wantFenced(0, first.Fence)
		s.wantOwner(0, second.Fence)
	}},
	{"Lease/run out but not taken, it still fences and can be renewed", func(s *subject) {
		h := s.acquire(0, alice, short)
		s.pass(2 * short)
		if _, err := s.commit(0, h.Fence, 1); err != nil {
			s.Errorf("Apply after the lease: %v", err)
		}
		s.wantOwner(0, h.Fence)
	}},
	{"Lease/renew", func(s *subject) {
		h := s.acquire(0, alice, short)
		before := s.now()
		if err := s.Engine.Renew(s.ctx, 0, h.Fence, long); err != nil {
			s.Fatal(err)
		}
		if end := s.head(0).Expires; end.Before(before.Add(long)) {
			s.Errorf("lease ends at %v", end)
		}
		s.pass(2 * short)
		if _, err := s.Engine.Acquire(s.ctx, 0, bob, long); !errors.As(err, new(*engine.HeldError)) {
			s.Errorf("Acquire: %v, want a HeldError", err)
		}
	}},
	{"Lease/renew may shorten it", func(s *subject) {
		h := s.acquire(0, alice, long)
		if err := s.Engine.Renew(s.ctx, 0, h.Fence, short); err != nil {
			s.Fatal(err)
		}
		s.pass(2 * short)
		s.acquire(0, bob, long)
	}},
	{"Lease/release", func(s *subject) {
		h := s.acquire(0, alice, long)
		if err := s.Engine.Release(s.ctx, 0, h.Fence); err != nil {
			s.Fatal(err)
		}
		s.diff(engine.Head{Fence: engine.Fence{Epoch: h.Epoch}}, s.head(0))
		s.wantFenced(0, h.Fence)
		next := s.acquire(0, bob, long)
		if next.Epoch <= h.Epoch {
			s.Errorf("epoch %d after %d", next.Epoch, h.Epoch)
		}
		s.wantFenced(0, h.Fence)
	}},
	{"Lease/one of many wins", func(s *subject) {
		var won atomic.Int32
		s.parallel(8, func(i int) error {
			_, err := s.Engine.Acquire(s.ctx, 0, engine.Nonce{byte(i + 1)}, long)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.As(err, new(*engine.HeldError)):
				return err
			}
			return nil
		})
		s.diff(int32(1), won.Load())
	}},
	{"Lease/epochs rise with every owner", func(s *subject) {
		last := uint64(0)
		for i := range 20 {
			h := s.acquire(0, engine.Nonce{byte(i + 1)}, long)
			if h.Epoch <= last {
				s.Fatalf("epoch %d after %d", h.Epoch, last)
			}
			last = h.Epoch
			if err := s.Engine.Release(s.ctx, 0, h.Fence); err != nil {
				s.Fatal(err)
			}
		}
	}},
}

// wantFenced checks that nothing can be done under the fence.
func (s *subject) wantFenced(shard int, f engine.Fence) {
	s.Helper()
	before := s.head(shard)
	_, err := s.commit(shard, f, before.Commit+1, puts("fenced out", ""))
	for name, err := range map[string]error{
		"Apply":   err,
		"Renew":   s.Engine.Renew(s.ctx, shard, f, long),
		"Release": s.Engine.Release(s.ctx, shard, f),
	} {
		if !errors.Is(err, engine.ErrFenced) {
			s.Errorf("%s: %v, want ErrFenced", name, err)
		}
	}
	s.diff(before, s.head(shard))
	s.diff([]byte(nil), s.value(shard, "fenced out"))
}

// wantOwner checks that the fence owns the shard.
func (s *subject) wantOwner(shard int, f engine.Fence) {
	s.Helper()
	s.diff(f, s.head(shard).Fence)
	if _, err := s.commit(shard, f, s.head(shard).Commit+1); err != nil {
		s.Errorf("Apply: %v", err)
	}
	if err := s.Engine.Renew(s.ctx, shard, f, long); err != nil {
		s.Errorf("Renew: %v", err)
	}
}
