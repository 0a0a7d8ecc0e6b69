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
		c, err := f.Cluster(ctx())
		f.check(err)
		later := start.Add(time.Second)
		f.equal("nodes", c.Nodes, []NodeRecord{{"a", later, []byte{}, false}, {"b", start, []byte("1"), false}, {"c", later, []byte("2"), false}})
		f.equal("now", c.Now, later)
		f.check(f.DeleteNode(ctx(), "a"))
		c, err = f.Cluster(ctx())
		f.check(err)
		f.equal("nodes", len(c.Nodes), 2)
		for _, id := range []string{"", strings.Repeat("n", MaxNodeID+1)} {
			if err := f.PutNode(ctx(), id, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("node %q: %v", id, err)
			}
		}
	})
}

// A node is to drain until that is taken back or its record is removed.
func TestDrainNode(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(t *testing.T, f *fixture) {
		drains := func(want ...string) {
			t.Helper()
			c, err := f.Cluster(ctx())
			f.check(err)
			var got []string
			for _, n := range c.Nodes {
				if n.Drain {
					got = append(got, n.ID)
				}
			}
			f.equal("who drains", got, want)
		}
		for _, id := range []string{"a", "b"} {
			f.check(f.PutNode(ctx(), id, []byte("x")))
		}
		for range 2 {
			f.check(f.DrainNode(ctx(), "b", true))
		}
		drains("b")
		f.check(f.PutNode(ctx(), "b", []byte("y")))
		drains("b")
		for range 2 {
			f.check(f.DrainNode(ctx(), "b", false))
		}
		drains()
		f.check(f.DrainNode(ctx(), "a", true))
		f.check(f.DeleteNode(ctx(), "a"))
		f.check(f.PutNode(ctx(), "a", nil))
		drains()
		for _, on := range []bool{true, false} {
			if err := f.DrainNode(ctx(), "x", on); !errors.Is(err, ErrNotFound) {
				t.Errorf("a node that is not there: %v", err)
			}
		}
	})
}

// What an older term's leader writes changes nothing.
func TestTermsAreFenced(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(t *testing.T, f *fixture) {
		f.check(f.PutNode(ctx(), "dead", nil))
		var terms []Leader
		for i, node := range []string{"a", "b", "b"} {
			l, err := f.BeginTerm(ctx(), node)
			f.check(err)
			f.equal("the term", l, Leader{uint64(i + 1), node})
			terms = append(terms, l)
		}
		f.check(f.PutPlacement(ctx(), terms[2], []byte("new")))
		for _, old := range append(terms[:2:2], Leader{3, "a"}, Leader{}) {
			for what, err := range map[string]error{
				"places": f.PutPlacement(ctx(), old, []byte("old")), "ends": f.EndTerm(ctx(), old), "forgets": f.ForgetNode(ctx(), old, "dead"),
			} {
				if !errors.Is(err, ErrTerm) {
					t.Errorf("%+v %s: %v", old, what, err)
				}
			}
		}
		c, err := f.Cluster(ctx())
		f.check(err)
		if c.Leader != terms[2] || string(c.Placement) != "new" || len(c.Nodes) != 1 {
			t.Errorf("%+v", c)
		}
		f.check(f.ForgetNode(ctx(), terms[2], "dead"))
		f.check(f.EndTerm(ctx(), terms[2]))
		c, err = f.Cluster(ctx())
		f.check(err)
		if c.Leader != (Leader{Term: 3}) || string(c.Placement) != "new" || len(c.Nodes) != 0 {
			t.Errorf("at the end: %+v", c)
		}
		if l, err := f.BeginTerm(ctx(), "a"); err != nil || l.Term != 4 {
			t.Errorf("after that: %+v, %v", l, err)
		}
	})
}
