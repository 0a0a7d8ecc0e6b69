package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(t *testing.T, f *fixture) {
		put := func(id, data string) {
			t.Helper()
			f.check(f.PutNode(ctx(), id, []byte(data)))
		}
		put("b", "1")
		f.clock.advance(time.Second)
		put("a", "")
		put("c", "x")
		before, err := f.Revision(ctx())
		f.check(err)
		put("c", "2")
		for range 2 { // to remove what is not there does nothing
			f.check(f.DeleteNode(ctx(), "x"))
		}
		after, err := f.Revision(ctx())
		f.check(err)
		f.equal("the revision", after, before)
		got, now, err := f.Nodes(ctx())
		f.check(err)
		later := start.Add(time.Second)
		f.equal("nodes", got, []NodeRecord{{"a", later, []byte{}}, {"b", start, []byte("1")}, {"c", later, []byte("2")}})
		f.equal("now", now, later)
		f.check(f.DeleteNode(ctx(), "a"))
		got, _, err = f.Nodes(ctx())
		f.check(err)
		f.equal("nodes", len(got), 2)
		for _, id := range []string{"", strings.Repeat("n", MaxNodeID+1)} {
			if err := f.PutNode(ctx(), id, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("node %q: %v", id, err)
			}
		}
	})
}
