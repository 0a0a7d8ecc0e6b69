package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

func logLines(n int) []LogLine {
	lines := make([]LogLine, n)
	for i := range lines {
		lines[i] = LogLine{Level: "info", Time: start, Message: fmt.Sprintf("line %d\x1b[31m", i), Fields: []byte(`{"n":1}`)}
	}
	return lines
}

// left returns how many entries there are in the spaces of journals.
func (f *fixture) left() (n int) {
	f.Helper()
	a := audit{f: f}
	return len(a.scan(spaceJournal)) + len(a.scan(spaceLog))
}

// What workers tell is kept in order, over attempts, read from any line on, and goes
// with its job alone.
func TestJournal(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		j, other := f.one("q", nil), f.one("q", nil)
		for i := range 3 {
			_, err := f.AppendLog(ctx(), j.ID, 1, logLines(i+1))
			f.check(err)
		}
		_, err := f.AppendLog(ctx(), other.ID, 1, logLines(2))
		f.check(err)
		f.check(f.SetProgress(ctx(), j.ID, Progress{Percent: 12.5, Message: "ä", Attempt: 1}))
		all, err := f.LogLines(ctx(), j.ID, 0, 100)
		f.check(err)
		for after := range 7 {
			for limit := range 7 {
				got, err := f.LogLines(ctx(), j.ID, after, limit)
				f.check(err)
				want := all[min(after, 6):min(after+limit, 6)]
				if len(got) != len(want) || len(got) > 0 && cmp.Diff(got, want) != "" {
					t.Errorf("%d lines after %d: %v, want %v", limit, after, got, want)
				}
			}
		}
		if len(all) != 6 || all[5].Number != 6 || all[5].Attempt != 1 || all[5].Message != "line 2\x1b[31m" || string(all[5].Fields) != `{"n":1}` || !all[5].Time.Equal(start) {
			t.Errorf("the log: %+v", all)
		}
		told, err := f.Journal(ctx(), j.ID)
		f.check(err)
		if told.Lines != 6 || told.Truncated || told.Progress != (Progress{12.5, "ä", start, 1}) {
			t.Errorf("the journal: %+v", told)
		}

		// The first attempt ends: what is said of it then is refused, and the next goes on.
		f.accepted(f.readLane(lane("q"))...)
		accepted, err := f.owner.Accepted(ctx())
		f.check(err)
		var mine *Entry
		for _, a := range accepted {
			if a.Entry.Job.ID == j.ID {
				mine = a.Entry
			}
		}
		f.commit(&Commit{Settle: []Settle{{Job: f.settled(mine.Job, job.Waiting, job.OutcomeTimedOut), Was: mine.Standing()}}})
		if _, err := f.AppendLog(ctx(), j.ID, 1, logLines(1)); !errors.Is(err, ErrNotFound) {
			t.Errorf("a line of an attempt that is over: %v", err)
		}
		if err := f.SetProgress(ctx(), j.ID, Progress{Percent: 1, Attempt: 1}); !errors.Is(err, ErrNotFound) {
			t.Errorf("its progress: %v", err)
		}
		_, err = f.AppendLog(ctx(), j.ID, 2, logLines(1))
		f.check(err)
		if all, err = f.LogLines(ctx(), j.ID, 6, 10); err != nil || len(all) != 1 || all[0].Attempt != 2 || all[0].Number != 7 {
			t.Errorf("of the second attempt: %+v, %v", all, err)
		}
	})
}

// They go when their job is deleted or trimmed, and that of another job stays.
func TestJournalGoesWithItsJob(t *testing.T) {
	t.Parallel()
	overEngines(t, 1, func(t *testing.T, f *fixture) {
		f.own(0)
		var jobs []*job.Job
		for range 3 {
			j := f.one("q", nil)
			_, err := f.AppendLog(ctx(), j.ID, 1, logLines(2))
			f.check(err)
			_, err = f.AppendLog(ctx(), j.ID, 1, logLines(2))
			f.check(err)
			jobs = append(jobs, j)
		}
		f.equal("of three jobs", f.left(), 9)
		for _, j := range jobs[:2] {
			f.settleAs(j, job.Succeeded)
			if _, err := f.AppendLog(ctx(), j.ID, 9, logLines(1)); !errors.Is(err, ErrNotFound) {
				t.Errorf("a line of a job that has ended: %v", err)
			}
		}
		ended, err := f.Job(ctx(), jobs[0].ID)
		f.check(err)
		f.commit(&Commit{Delete: []*job.Job{ended}})
		f.equal("after one was deleted", f.left(), 6)
		f.clock.advance(2 * time.Hour)
		f.equal("trimmed", f.trim(keepAll(time.Hour), 5), []job.ID{jobs[1].ID})
		f.equal("after one was trimmed", f.left(), 3)
		if lines, err := f.LogLines(ctx(), jobs[2].ID, 0, 10); err != nil || len(lines) != 4 {
			t.Errorf("of the job that is left: %d lines, %v", len(lines), err)
		}
		for _, id := range []job.ID{jobs[0].ID, job.NewID(start, 0), job.NewID(start, 7)} {
			if _, err := f.AppendLog(ctx(), id, 9, logLines(1)); !errors.Is(err, ErrNotFound) {
				t.Errorf("of a job that is not there: %v", err)
			}
			if told, err := f.Journal(ctx(), id); err != nil || *told != (Journal{}) {
				t.Errorf("its journal: %+v, %v", told, err)
			}
		}
	})
}

// A log is bounded in lines and bytes, and says where something was left out. Beyond
// that a line costs no write.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]LogLine{"lines": {Level: "info", Message: "x"}, "bytes": {Level: "info", Message: strings.Repeat("x", 10_000)}} {
		f, e := modelFixture(t, 1)
		f.own(0)
		id := f.one("q", nil).ID
		lines := make([]LogLine, 1000)
		for i := range lines {
			lines[i] = line
		}
		var told *Journal
		for range 11 {
			var err error
			told, err = f.AppendLog(ctx(), id, 1, lines)
			f.check(err)
		}
		full := name == "lines" && told.Lines == MaxLogLines || name == "bytes" && told.Bytes > MaxLogBytes-20_000
		if !told.Truncated || !full || told.Lines > MaxLogLines || told.Bytes > MaxLogBytes {
			t.Errorf("%s: %+v", name, told)
		}
		if all, err := f.LogLines(ctx(), id, 0, MaxLogLines); err != nil || len(all) != told.Lines {
			t.Errorf("%s: %d lines of %d, %v", name, len(all), told.Lines, err)
		}
		e.Fail = func(op string, _ int) error {
			if op == "apply" {
				t.Errorf("%s: a line beyond the bound is written", name)
			}
			return nil
		}
		_, err := f.AppendLog(ctx(), id, 1, lines)
		f.check(err)
	}
}

// Two nodes that write at once lose nothing, and a write whose answer was lost is not
// made twice.
func TestJournalIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	f, e := modelFixture(t, 1)
	f.own(0)
	id := f.one("q", nil).ID
	e.Fail = func(op string, _ int) error {
		if op == "apply" {
			e.Fail = nil
			_, err := f.AppendLog(ctx(), id, 1, logLines(2)) // of another node, between reading and writing
			f.check(err)
		}
		return nil
	}
	told, err := f.AppendLog(ctx(), id, 1, logLines(3))
	f.check(err)
	all, err := f.LogLines(ctx(), id, 0, 10)
	f.check(err)
	if told.Lines != 5 || len(all) != 5 || all[4].Number != 5 {
		t.Errorf("%+v, %d lines", told, len(all))
	}
	j, write := *told, told.write
	again, err := f.tryJournal(ctx(), id, 1, write, func(*Journal) []byte {
		t.Error("it is made twice")
		return nil
	})
	if err != nil || *again != j {
		t.Errorf("%+v, %v", again, err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add(appendJournal(nil, &Journal{Lines: 1, Bytes: 2, Truncated: true, Progress: Progress{1.5, "m", start, 3}, write: 9}))
	f.Add(appendBlob(nil, 1, appendLogLine(nil, &LogLine{Attempt: 1, Level: "info", Time: start, Message: "m", Fields: []byte("{}")})))
	f.Fuzz(func(t *testing.T, data []byte) {
		if j, err := parseJournal(data); err == nil && j.Progress.Percent == j.Progress.Percent {
			if again, err := parseJournal(appendJournal(nil, j)); err != nil || *again != *j {
				t.Errorf("%+v, %+v, %v", j, again, err)
			}
		}
		if _, err := parseLog(engine.Entry{Key: appendLogKey(nil, job.ID{}, 1), Value: data}); err != nil && !errors.Is(err, errBadRecord) {
			t.Error(err)
		}
	})
}
