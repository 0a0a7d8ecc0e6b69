package store

import (
	"errors"
	"strings"
	"testing"
)

// Limits outlive their writer, are replaced as a whole, and are gone at rest.
func TestLimits(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		f.commit(&Commit{Limits: []Limit{{Queue: "a", State: []byte("one")}, {Queue: "a-b", State: []byte("two")}, {Queue: "b", State: []byte("three")}}})
		f.commit(&Commit{Limits: []Limit{{Queue: "a", State: []byte("four")}, {Queue: "b", State: nil}}})
		f.own(0)
		limits, err := f.owner.Limits(ctx())
		f.check(err)
		f.equal("limits", limits, []Limit{{Queue: "a", State: []byte("four")}, {Queue: "a-b", State: []byte("two")}})
		long := []byte(strings.Repeat("x", MaxLimitState+1))
		if err := f.owner.Commit(ctx(), &Commit{Limits: []Limit{{Queue: "a", State: long}}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("a state of %d bytes: %v", len(long), err)
		}
	})
}

// More limits than are read at once are all read.
func TestManyLimits(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		var want []Limit
		name := []byte("q-aaaa")
		for range limitsChunk + 2 {
			for i := len(name) - 1; i > 1; i-- {
				if name[i]++; name[i] <= 'z' {
					break
				}
				name[i] = 'a'
			}
			want = append(want, Limit{Queue: string(name), Key: "k", State: []byte("state")})
		}
		f.commit(&Commit{Limits: want})
		limits, err := f.owner.Limits(ctx())
		f.check(err)
		f.equal("limits", limits, want)
	})
}
