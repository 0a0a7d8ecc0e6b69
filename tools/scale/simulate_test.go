package main

import (
	"strings"
	"testing"
	"time"
)

func small(nodes, shards, primaries int) model {
	m := defaults()
	m.Nodes, m.Shards, m.Primaries, m.Length = nodes, shards, primaries, time.Second
	return m
}

func TestRun(t *testing.T) {
	t.Parallel()
	m := small(2, 8, 1)
	r := m.run(500)
	if r.behind || r.Rate < 450 || r.Rate > 550 || r.P99 < m.RoundTrip || r.P50 > r.P99 {
		t.Errorf("500 jobs a second: %+v", r)
	}
	if again := m.run(500); again != r {
		t.Errorf("again: %+v, want %+v", again, r)
	}
	// What is asked for more often shares its calls, and costs less.
	more := m.run(5000)
	if more.CallsPerJob >= r.CallsPerJob || more.RedisPerJob >= r.RedisPerJob || more.RedisBusy <= r.RedisBusy {
		t.Errorf("5,000 jobs a second: %+v, of 500: %+v", more, r)
	}
	if r := m.run(200_000); !r.behind {
		t.Errorf("200,000 jobs a second are carried: %+v", r)
	}
}

func TestCeiling(t *testing.T) {
	t.Parallel()
	one, two := small(4, 32, 1).ceiling(), small(4, 32, 2).ceiling()
	if one.Bound != "Redis's CPU" || two.Rate < 1.5*one.Rate {
		t.Errorf("one primary %+v, two %+v", one, two)
	}
	slow := small(1, 32, 8)
	slow.PerJob = 2 * time.Millisecond
	if r := slow.ceiling(); r.Bound != "the nodes' CPU" || r.Rate > 1000*busyBound {
		t.Errorf("slow nodes %+v", r)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	m := small(0, 0, 0)
	m.Length = 100 * time.Millisecond
	var b strings.Builder
	report(&b, m, []setup{{1, 4, 1}, {2, 4, 1}})
	if lines := strings.Count(b.String(), "\n"); lines != 6 {
		t.Errorf("%d lines:\n%s", lines, b.String())
	}
}
