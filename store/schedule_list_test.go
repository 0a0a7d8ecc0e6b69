package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/store/engine"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

func (f *fixture) putSchedule(name string, payload []byte) {
	f.Helper()
	s := f.schedule(name, "q", time.Time{})
	s.Payload = payload
	f.put(s)
}

func (f *fixture) dropSchedule(name string) {
	f.Helper()
	_, err := f.ChangeSchedule(ctx(), name, func(*Schedule, time.Time) (*Schedule, error) { return nil, nil })
	f.check(err)
}

// listed returns the names of all pages.
func (f *fixture) listed(limit int) (names []string) {
	f.Helper()
	for after := ""; ; {
		page, next, err := f.ListSchedules(ctx(), after, limit)
		f.check(err)
		if len(page) > limit {
			f.Fatalf("%d schedules on a page of %d", len(page), limit)
		}
		for _, s := range page {
			if s.Payload != nil || string(s.Spec) != "spec" || string(s.State) != "state" || s.Job.Queue != "q" {
				f.Fatalf("listed: %+v", s)
			}
			names = append(names, s.Name)
		}
		if next == "" {
			return names
		}
		after = next
	}
}

func TestListSchedules(t *testing.T) {
	t.Parallel()
	overEngines(t, 4, func(_ *testing.T, f *fixture) {
		f.equal("at first", f.listed(10), []string(nil))
		var names []string
		for i := range 90 {
			names = append(names, fmt.Sprintf("s%d", i*37%90))
			f.putSchedule(names[i], []byte(`{"n":1}`))
		}
		slices.Sort(names)
		for _, limit := range []int{1, 7, 90, 1000} {
			f.equal(fmt.Sprintf("in pages of %d", limit), f.listed(limit), names)
		}
		n, err := f.CountSchedules(ctx())
		f.check(err)
		f.equal("count", n, int64(90))
		f.putSchedule(names[0], []byte(`{"n":2}`)) // a change is no new one
		for _, name := range names[:50] {
			f.dropSchedule(name)
		}
		f.equal("what is left", f.listed(3), names[50:])
		n, err = f.CountSchedules(ctx())
		f.check(err)
		f.equal("count", n, int64(40))
	})
}

// One shard has the first names, and more of them than its share.
func TestListSchedulesOfUnevenShards(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, _ := modelFixture(t, 16)
		var names []string
		for i := 0; len(names) < 120; i++ {
			name := fmt.Sprintf("a%05d", i)
			if f.ShardOf(name) < 2 {
				names = append(names, name)
				f.putSchedule(name, nil)
			}
		}
		for i := range rapid.IntRange(0, 40).Draw(rt, "others") {
			names = append(names, fmt.Sprintf("b%d", i))
			f.putSchedule(names[len(names)-1], nil)
		}
		slices.Sort(names)
		limit := rapid.IntRange(1, 160).Draw(rt, "limit")
		if got := f.listed(limit); !slices.Equal(got, names) {
			rt.Fatalf("in pages of %d: %v, want %v", limit, got, names)
		}
	})
}

func TestListSchedulesOfLargePayloads(t *testing.T) {
	t.Parallel()
	f, _ := modelFixture(t, 2)
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("s%03d", i))
		f.putSchedule(names[i], bytes.Repeat([]byte{'x'}, MaxSchedulePayload))
	}
	page, next, err := f.ListSchedules(ctx(), "", 100)
	f.check(err)
	if len(page) < listedAtOnce || len(page) > listedBytes/MaxSchedulePayload+listedAtOnce || next != page[len(page)-1].Name {
		t.Errorf("a page of %d, and next %q", len(page), next)
	}
	f.equal("all pages", f.listed(100), names)
}

// counting counts what is read.
type counting struct {
	engine.Engine
	mu   sync.Mutex
	read int
}

func (c *counting) Scan(ctx context.Context, shard int, r engine.Range) ([]engine.Entry, error) {
	entries, err := c.Engine.Scan(ctx, shard, r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += len(entries)
	return entries, err
}

// What schedules have done does not make a list of them read more.
func TestListSchedulesReadsNoHistory(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	e := &counting{Engine: model.New(2, c.Now)}
	f := newFixture(t, e, c)
	for i := range 20 {
		f.putSchedule(fmt.Sprintf("s%d", i), nil)
	}
	cost := func() int {
		e.read = 0
		f.equal("listed", len(f.listed(100)), 20)
		return e.read
	}
	before := cost()
	for range 50 {
		for shard := range f.Shards() {
			f.own(shard)
			commit := &Commit{}
			for i := range 20 {
				s, err := f.GetSchedule(ctx(), fmt.Sprintf("s%d", i))
				f.check(err)
				if f.ShardOf(s.Name) == shard {
					commit.Fire = append(commit.Fire, Firing{Schedule: s, Runs: [][]byte{[]byte("run")}})
				}
			}
			f.commit(commit)
		}
	}
	runs, _, err := f.ListRuns(ctx(), "s0", 0, 100)
	f.check(err)
	f.equal("runs", len(runs), 50)
	f.equal("entries read", cost(), before)
}
