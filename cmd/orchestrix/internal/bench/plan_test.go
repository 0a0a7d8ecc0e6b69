package bench

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

// batchRequest is what the benchmarks send, read back.
type batchRequest struct {
	Jobs []struct {
		Queue, Type string
		Payload     json.RawMessage
	}
}

func TestQueueBeside(t *testing.T) {
	t.Parallel()
	const shards = 64
	quick := quickQueue(0)
	of := func(name string) int { return job.ShardOf(name, shards) }
	same, other := queueBeside(quick, shards, true), queueBeside(quick, shards, false)
	if of(same) != of(quick) || of(other) == of(quick) {
		t.Errorf("%s in %d, %s in %d, %s in %d", quick, of(quick), same, of(same), other, of(other))
	}
	for _, name := range []string{same, other} {
		if message := job.CheckName(name); message != "" || name == quick {
			t.Errorf("%q is no name for it: %s", name, message)
		}
	}
}

// Payloads are JSON of exactly the size, and no two are equal.
func TestPayloads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, size := rapid.IntRange(1, 20).Draw(t, "n"), rapid.IntRange(32, 2000).Draw(t, "size")
		seen := map[string]bool{}
		for _, p := range payloads(n, size) {
			if len(p) != size || !json.Valid(p) || seen[string(p)] {
				t.Fatalf("%d bytes of %d, valid %t, seen before %t: %s", len(p), size, json.Valid(p), seen[string(p)], p)
			}
			seen[string(p)] = true
		}
	})
}

func TestBacklogBody(t *testing.T) {
	t.Parallel()
	b := &backlog{BacklogOptions: BacklogOptions{Payload: 64}, jobs: payloads(3, 64)}
	var got batchRequest
	if err := json.Unmarshal(b.body(2), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Jobs) != 2 {
		t.Fatalf("%d jobs", len(got.Jobs))
	}
	for i, j := range got.Jobs {
		if j.Queue != backlogQueue || !bytes.Equal(j.Payload, b.jobs[i]) {
			t.Errorf("job %d: %+v", i, j)
		}
	}
}

func TestTimedJob(t *testing.T) {
	t.Parallel()
	sent := time.Unix(12, 345)
	var got struct {
		Queue   string
		Payload timed
	}
	if err := json.Unmarshal(timedJob("q", 7, sent), &got); err != nil {
		t.Fatal(err)
	}
	if got.Queue != "q" || got.Payload != (timed{Phase: 7, Sent: sent.UnixNano()}) {
		t.Errorf("%+v", got)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	series := compared("empty", []Sample{{Rate: 100, CPU: 10}, {Rate: 50, CPU: 10}}, "full", []Sample{{Rate: 80, CPU: 20}, {Rate: 50, CPU: 20}})
	if len(series) != 2 {
		t.Fatalf("%d series", len(series))
	}
	p := series[1]
	if p.Against != "empty" || p.WallRatio != 0.9 || p.CPURatio != 0.5 || p.Rate != 65 {
		t.Errorf("%+v", p)
	}
	s := IsolationSetting{P50: 2, P99: 30}
	s.compare(&IsolationSetting{P50: 2, P99: 20})
	if s.P50Ratio != 1 || s.P99Ratio != 1.5 {
		t.Errorf("%+v", s)
	}
}

// Of n arrivals in a row each setting has one, and of n times n each is the
// first once.
func TestInTurn(t *testing.T) {
	t.Parallel()
	const n = 3
	first := map[int]int{}
	for row := range n {
		seen := map[int]bool{}
		for i := row * n; i < (row+1)*n; i++ {
			seen[inTurn(i, n)] = true
		}
		if len(seen) != n {
			t.Errorf("row %d serves %v", row, seen)
		}
		first[inTurn(row*n, n)]++
	}
	if len(first) != n {
		t.Errorf("first are %v", first)
	}
}
