package dispatcher

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestSlotsAreShared(t *testing.T) {
	t.Parallel()
	type ask struct{ shard, free, want, got int }
	tests := map[string]struct {
		limit int
		asks  []ask
	}{
		"enough for all":   {10, []ask{{1, 0, 4, 4}, {2, 0, 6, 6}}},
		"what is left":     {10, []ask{{1, 0, 7, 7}, {2, 0, 6, 3}}},
		"no more than all": {10, []ask{{1, 0, 20, 10}, {2, 0, 1, 0}}},
		"the hungry one first": {10, []ask{
			{1, 0, 10, 10}, {2, 0, 8, 0}, {1, 1, 1, 0}, {1, 2, 0, 0}, {2, 0, 8, 3},
		}},
		"until both have their part": {4, []ask{
			{1, 0, 4, 4}, {2, 0, 4, 0}, {1, 2, 2, 0}, {2, 0, 4, 2}, {1, 1, 1, 1}, {2, 1, 1, 1},
		}},
		"small users do not make the part of the hungry small": {100, []ask{
			{3, 0, 1, 1},
			{4, 0, 1, 1},
			{5, 0, 1, 1},
			{6, 0, 1, 1},
			{1, 0, 100, 96},
			{2, 0, 50, 0},
			{1, 48, 48, 0},
			{2, 0, 50, 48},
			{1, 10, 10, 10},
			{2, 10, 10, 10},
		}},
		"what no part needs is not left lying": {5, []ask{
			{1, 0, 5, 5}, {2, 0, 5, 0}, {1, 1, 1, 0}, {2, 0, 5, 1}, {1, 1, 1, 0}, {2, 0, 4, 1}, {1, 1, 1, 1}, {2, 1, 1, 1},
		}},
		"fewer slots than shards": {1, []ask{
			{1, 0, 1, 1}, {2, 0, 1, 0}, {3, 0, 1, 0}, {1, 1, 1, 0}, {3, 0, 1, 0}, {2, 0, 1, 1}, {2, 1, 1, 0}, {3, 0, 1, 1}, {3, 1, 1, 0}, {1, 0, 1, 1},
		}},
		"not a member": {10, []ask{{99, 0, 5, 0}, {1, 0, 10, 10}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSlots(test.limit)
			for shard := 1; shard <= 6; shard++ {
				s.join(shard, func() {})
			}
			for i, a := range test.asks {
				if g := s.exchange(a.shard, want{Slots: a.free}, want{Slots: a.want}); g.Slots != a.got {
					t.Fatalf("ask %d: shard %d got %d, want %d", i, a.shard, g.Slots, a.got)
				}
			}
		})
	}
}

func TestSuspectTokenIsOne(t *testing.T) {
	t.Parallel()
	s := newSlots(10)
	nudged := make(map[int]int)
	for shard := range 3 {
		s.join(shard, func() { nudged[shard]++ })
	}
	token := want{Slots: 1, Suspect: true}
	if g := s.exchange(0, want{}, token); !g.Suspect {
		t.Fatal("the first does not get the token")
	}
	if g := s.exchange(1, want{}, token); g.Suspect {
		t.Fatal("the token is given twice")
	}
	s.exchange(1, want{Slots: 1}, want{}) // of no use without the token: that is no reason to forget it
	s.exchange(2, want{Suspect: true}, want{})
	if len(nudged) != 0 {
		t.Fatalf("nudged %v though the token is not free", nudged)
	}
	s.exchange(0, want{Slots: 1, Suspect: true}, want{})
	if nudged[1] != 1 || len(nudged) != 1 {
		t.Fatalf("nudged %v when the token became free", nudged)
	}
	if g := s.exchange(1, want{}, token); !g.Suspect {
		t.Fatal("who was nudged does not get the token")
	}
	s.exchange(2, want{}, token)
	s.leave(1)
	if nudged[2] != 1 {
		t.Error("a shard that leaves does not give the token back")
	}
}

func TestSatedShardsAreNotInTheWay(t *testing.T) {
	t.Parallel()
	s := newSlots(10)
	nudged := 0
	s.join(1, func() { nudged++ })
	s.join(2, func() {})
	s.exchange(1, want{}, want{Slots: 10})
	s.exchange(2, want{}, want{Slots: 5})
	if g := s.exchange(1, want{Slots: 1}, want{Slots: 1}); g.Slots != 0 || nudged != 0 {
		t.Fatalf("got %d, nudged %d, while another goes without", g.Slots, nudged)
	}
	s.sated(2)
	if nudged != 1 {
		t.Fatalf("nudged %d times when nobody else goes without", nudged)
	}
	if g := s.exchange(1, want{}, want{Slots: 1}); g.Slots != 1 {
		t.Errorf("got %d", g.Slots)
	}
}

// TestSlotsProperties: the sums are right, the limit holds, a free token or slot
// always has a nudge on its way to each shard that may have it, and when all ask
// for all, each comes to its equal part.
func TestSlotsProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		s := newSlots(limit)
		const shards = 5
		pending := make(map[int]bool)
		held := make(map[int]int)
		tokens := make(map[int]bool)
		for shard := range shards {
			s.join(shard, func() { pending[shard] = true })
		}
		exchange := func(shard, free int, freeToken bool, w want) {
			if w != (want{}) {
				pending[shard] = false
			}
			g := s.exchange(shard, want{free, freeToken}, w)
			held[shard] += g.Slots - free
			tokens[shard] = (tokens[shard] && !freeToken) || g.Suspect
		}
		shard := func(t *rapid.T) int { return rapid.IntRange(0, shards-1).Draw(t, "shard") }
		t.Repeat(map[string]func(*rapid.T){
			"exchange": func(t *rapid.T) {
				n := shard(t)
				w := want{Slots: rapid.IntRange(0, 2*limit).Draw(t, "want")}
				w.Suspect = !tokens[n] && w.Slots > 0 && rapid.Bool().Draw(t, "suspect")
				free := rapid.IntRange(0, held[n]).Draw(t, "free")
				exchange(n, free, tokens[n] && rapid.Bool().Draw(t, "free token"), w)
			},
			"sated": func(t *rapid.T) {
				n := shard(t)
				pending[n] = false
				s.sated(n)
			},
			"leave": func(t *rapid.T) {
				n := shard(t)
				s.leave(n)
				held[n], tokens[n], pending[n] = 0, false, false
				s.join(n, func() { pending[n] = true })
			},
			"all ask for all": func(t *rapid.T) {
				got := make(map[int]int)
				for range 4*limit + 4*shards {
					for n := range shards {
						before := held[n] - min(1, held[n])
						exchange(n, min(1, held[n]), false, want{Slots: limit})
						got[n] += held[n] - before
					}
				}
				for n := range shards {
					if held[n] < limit/shards || got[n] == 0 {
						t.Fatalf("shard %d has %d of %d, was given %d", n, held[n], limit, got[n])
					}
				}
			},
			"": func(t *rapid.T) {
				sum, owners := 0, 0
				for n := range shards {
					if s.shards[n].used != held[n] {
						t.Fatalf("shard %d: %d used, holds %d", n, s.shards[n].used, held[n])
					}
					sum += held[n]
					if tokens[n] {
						owners++
					}
				}
				if sum != s.used || sum > limit || owners > 1 {
					t.Fatalf("%d used (%d) of %d, %d tokens", sum, s.used, limit, owners)
				}
				part, deprived := s.part()
				for n, sh := range s.shards {
					more := sh.hungry && s.room(sh, part, deprived) > 0
					if (more || sh.suspect && owners == 0) && !pending[n] {
						t.Fatalf("shard %d could have more and is not told", n)
					}
				}
			},
		})
	})
}

// TestSlotsConcurrently has shards take, use and give back as loops do. No
// nudge may be lost: everybody comes to its end.
func TestSlotsConcurrently(t *testing.T) {
	t.Parallel()
	const shards, rounds, limit = 8, 300, 5
	s := newSlots(limit)
	var wait sync.WaitGroup
	for shard := range shards {
		nudge := make(chan struct{}, 1)
		s.join(shard, func() {
			select {
			case nudge <- struct{}{}:
			default:
			}
		})
		wait.Go(func() {
			for done := 0; done < rounds; {
				g := s.exchange(shard, want{}, want{3, done%10 == 0})
				done += g.Slots
				switch {
				case g != (granted{}):
					s.exchange(shard, want(g), want{})
				default:
					<-nudge
				}
			}
			s.sated(shard)
		})
	}
	wait.Wait()
	if s.used != 0 || s.suspect != -1 {
		t.Errorf("%d used, token with %d", s.used, s.suspect)
	}
}
