package job_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

func TestAddAttemptKeepsTheNewest(t *testing.T) {
	t.Parallel()
	var j job.Job
	const n = 3*job.MaxAttemptsKept + 7
	for i := 1; i <= n; i++ {
		j.AddAttempt(job.Attempt{Number: i})
		if want := min(i, job.MaxAttemptsKept); len(j.Attempts) != want {
			t.Fatalf("after %d attempts %d are kept, want %d", i, len(j.Attempts), want)
		}
		for k, a := range j.Attempts {
			if want := i - len(j.Attempts) + 1 + k; a.Number != want {
				t.Fatalf("after %d attempts, the one at %d is number %d, want %d", i, k, a.Number, want)
			}
		}
	}
}

// A job whose commit failed is settled again from an earlier copy, which must
// still have the attempts it had.
func TestAddAttemptLeavesEarlierCopiesAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var before job.Job
		for i := range rapid.IntRange(0, job.MaxAttemptsKept+3).Draw(t, "attempts") {
			before.AddAttempt(job.Attempt{Number: i + 1})
		}
		want := append([]job.Attempt(nil), before.Attempts...)
		first, second := before, before
		first.AddAttempt(job.Attempt{Number: 1001})
		second.AddAttempt(job.Attempt{Number: 1002})
		if diff := cmp.Diff(want, append([]job.Attempt(nil), before.Attempts...)); diff != "" {
			t.Fatalf("the earlier copy changed (-want +got):\n%s", diff)
		}
		if got := first.Attempts[len(first.Attempts)-1].Number; got != 1001 {
			t.Fatalf("the first copy ends with attempt %d: the second wrote into it", got)
		}
	})
}

func TestAddAttemptCutsTheAnswer(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, job.MaxAnswerKept, job.MaxAnswerKept + 1, 64 << 10} {
		var j job.Job
		answer := bytes.Repeat([]byte("x"), size)
		j.AddAttempt(job.Attempt{Answer: answer, AnswerSize: size})
		got := j.Attempts[0]
		if len(got.Answer) != min(size, job.MaxAnswerKept) || got.AnswerSize != size {
			t.Errorf("of %d bytes %d are kept, size %d", size, len(got.Answer), got.AnswerSize)
		}
		if cap(got.Answer) > 2*job.MaxAnswerKept {
			t.Errorf("of %d bytes %d stay in memory", size, cap(got.Answer))
		}
	}
}

func TestAddAttemptCutsTheErrorBetweenCharacters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aé日💥")), 0, 700, -1).Draw(t, "error")
		var j job.Job
		j.AddAttempt(job.Attempt{Error: text})
		got := j.Attempts[0].Error
		if !strings.HasPrefix(text, got) || !utf8.ValidString(got) {
			t.Fatalf("%q is not the beginning of %q", got, text)
		}
		if len(got) > job.MaxErrorKept || len(got) < min(len(text), job.MaxErrorKept-3) {
			t.Fatalf("%d bytes of %d are kept", len(got), len(text))
		}
	})
}

func TestAddAttemptCutsAnErrorThatIsNotText(t *testing.T) {
	t.Parallel()
	var j job.Job
	j.AddAttempt(job.Attempt{Error: strings.Repeat("\x80", 4*job.MaxErrorKept)})
	if got := len(j.Attempts[0].Error); got > job.MaxErrorKept {
		t.Errorf("%d bytes are kept", got)
	}
}

func TestExpired(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		expires time.Time
		want    bool
	}{
		{"never", time.Time{}, false},
		{"later", now.Add(time.Millisecond), false},
		{"now", now, true},
		{"before", now.Add(-time.Millisecond), true},
	}
	for _, tt := range tests {
		j := job.Job{ExpiresAt: tt.expires}
		if got := j.Expired(now); got != tt.want {
			t.Errorf("%s: Expired = %t", tt.name, got)
		}
	}
}

func TestDisplay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	later := now.Add(time.Second)
	tests := []struct {
		name    string
		job     job.Job
		running bool
		want    string
	}{
		{"ready", job.Job{Status: job.Waiting}, false, "pending"},
		{"due now", job.Job{Status: job.Waiting, Due: now}, false, "pending"},
		{"due later", job.Job{Status: job.Waiting, Due: later}, false, "scheduled"},
		{"failed, due later", job.Job{Status: job.Waiting, Due: later, Failures: 1}, false, "retrying"},
		{"failed, due now", job.Job{Status: job.Waiting, Due: now, Failures: 1}, false, "pending"},
		{"lost, due now", job.Job{Status: job.Waiting, Losses: 1}, false, "pending"},
		{"lost, due later", job.Job{Status: job.Waiting, Due: later, Losses: 2}, false, "retrying"},
		{"running", job.Job{Status: job.Waiting}, true, "running"},
		{"running again", job.Job{Status: job.Waiting, Failures: 3, Due: later}, true, "running"},
		{"succeeded", job.Job{Status: job.Succeeded, Failures: 2}, false, "succeeded"},
		{"terminal outranks a stale claim", job.Job{Status: job.Cancelled}, true, "cancelled"},
		{"dead", job.Job{Status: job.Dead, Failures: 10}, false, "dead"},
		{"expired", job.Job{Status: job.Expired, Due: later}, false, "expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.job.Display(now, tt.running); got != tt.want {
				t.Errorf("Display = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestShownStatuses(t *testing.T) {
	t.Parallel()
	want := []string{"scheduled", "pending", "retrying", "running", "succeeded", "dead", "cancelled", "expired"}
	if diff := cmp.Diff(want, job.ShownStatuses()); diff != "" {
		t.Errorf("ShownStatuses (-want +got):\n%s", diff)
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	for _, s := range job.Statuses() {
		j := job.Job{Status: s}
		if got := j.Settled(); got != s.Terminal() {
			t.Errorf("%s: Settled = %t", s, got)
		}
	}
}
