package bench

import (
	"encoding/json"
	"testing"
)

// The jobs of a round go to every key equally often, a key always to the same
// queue, and to every queue as many keys.
func TestSpreadPlace(t *testing.T) {
	t.Parallel()
	o := SpreadOptions{Queues: 10, Keys: 40}
	jobs, home := map[string]int{}, map[string]string{}
	for i := range 120 {
		queue, key := o.place(i)
		if was, ok := home[key]; ok && was != queue {
			t.Errorf("%s is in %s and in %s", key, was, queue)
		}
		home[key] = queue
		jobs[key]++
	}
	keys := map[string]int{}
	for key, n := range jobs {
		keys[home[key]]++
		if n != 3 {
			t.Errorf("%s has %d jobs", key, n)
		}
	}
	if len(keys) != o.Queues {
		t.Errorf("%d queues", len(keys))
	}
	for queue, n := range keys {
		if n != 4 {
			t.Errorf("%s has %d keys", queue, n)
		}
	}
}

func TestPairBody(t *testing.T) {
	t.Parallel()
	o := SpreadOptions{Queues: 2, Keys: 4}
	p := &pair{PairOptions: PairOptions{Payload: 64}, jobs: payloads(3, 64)}
	var got struct {
		Jobs []struct {
			Queue, Key string
			Payload    json.RawMessage
		}
	}
	if err := json.Unmarshal(p.body(&side{place: o.place}, 3, 6), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"bench-spread-1 key-3", "bench-spread-0 key-0", "bench-spread-1 key-1"}
	for i, j := range got.Jobs {
		if j.Queue+" "+j.Key != want[i] || string(j.Payload) != string(p.jobs[i]) {
			t.Errorf("job %d: %s %s, %s", i, j.Queue, j.Key, j.Payload)
		}
	}
	if len(got.Jobs) != len(want) {
		t.Errorf("%d jobs", len(got.Jobs))
	}
}

func TestSucceededIn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		metrics string
		want    int
		fails   bool
	}{
		"a number":       {"# HELP x\norchestrix_jobs_settled_total{status=\"dead\"} 0\norchestrix_jobs_settled_total{status=\"succeeded\"} 42\n", 42, false},
		"a great number": {"orchestrix_jobs_settled_total{status=\"succeeded\"} 1.5e+06\n", 1_500_000, false},
		"dead jobs":      {"orchestrix_jobs_settled_total{status=\"dead\"} 1\norchestrix_jobs_settled_total{status=\"succeeded\"} 42\n", 0, true},
		"no number":      {"orchestrix_jobs_settled_total{status=\"succeeded\"} many\n", 0, true},
		"nothing":        {"", 0, true},
	}
	for name, tt := range tests {
		got, err := succeededIn([]byte(tt.metrics))
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}
