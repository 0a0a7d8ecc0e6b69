package control

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// The bounds of what a worker tells in one report.
const (
	// MaxReportLines is how many lines one report may have.
	MaxReportLines = 1000
	// MaxLogMessage bounds a message, and MaxLogFields the fields of a line, in bytes.
	MaxLogMessage = 8 << 10
	MaxLogFields  = 16 << 10
	// MaxProgressMessage bounds what is said of progress, in bytes.
	MaxProgressMessage = 1000
)

// LogLevels are the levels that a line may have, the least first.
var LogLevels = []string{"trace", "debug", "info", "warn", "error", "critical"}

// LogLine is a line of a job's log. Number and Attempt are given by the store.
type LogLine = store.LogLine

// Progress is how far a job is, as its worker has said.
type Progress = store.Progress

// SetProgress notes how far an attempt is that goes on, whether its worker has taken it
// over or is still being pushed it. Its errors are those of Heartbeat, and Full where
// reports come too fast.
func (c *Control) SetProgress(ctx context.Context, a Attempt, percent float64, message string) error {
	var f faults
	if !(percent >= 0 && percent <= 100) { // NaN is neither
		f.add("percent", "must be from 0 to 100")
	}
	if len(message) > MaxProgressMessage || !utf8.ValidString(message) {
		f.add("message", "must be UTF-8 of at most "+strconv.Itoa(MaxProgressMessage)+" bytes")
	}
	if len(f) > 0 {
		return invalid(f...)
	}
	return c.tale(ctx, a, func() error {
		return c.store.SetProgress(ctx, a.Job, Progress{Percent: percent, Message: message, Attempt: a.Number})
	})
}

// AppendLog appends lines to the log of the attempt's job, and reports whether the log is
// full, and further lines are left out. A line without a time gets the store's. Its
// errors are those of SetProgress.
func (c *Control) AppendLog(ctx context.Context, a Attempt, lines []LogLine) (truncated bool, err error) {
	now, err := c.store.Now(ctx)
	if err != nil {
		return false, storeError("append to a log", err)
	}
	if f := logFaults(lines, now); len(f) > 0 {
		return false, invalid(f...)
	}
	err = c.tale(ctx, a, func() error {
		j, err := c.store.AppendLog(ctx, a.Job, a.Number, lines)
		if err == nil {
			truncated = j.Truncated
		}
		return err
	})
	return truncated, err
}

// logFaults returns what is wrong with lines, and completes them.
func logFaults(lines []LogLine, now time.Time) (f faults) {
	if len(lines) > MaxReportLines {
		f.add("entries", "must be at most "+strconv.Itoa(MaxReportLines))
		return f
	}
	for i := range lines {
		l, at := &lines[i], "entries["+strconv.Itoa(i)+"]."
		if l.Level == "" {
			l.Level = "info"
		}
		if !slices.Contains(LogLevels, l.Level) {
			f.add(at+"level", "must be one of "+strings.Join(LogLevels, ", "))
		}
		if l.Time.IsZero() {
			l.Time = now
		}
		if len(l.Message) > MaxLogMessage || !utf8.ValidString(l.Message) {
			f.add(at+"message", "must be UTF-8 of at most "+strconv.Itoa(MaxLogMessage)+" bytes")
		}
		if len(l.Fields) > MaxLogFields {
			f.add(at+"fields", "must be at most "+strconv.Itoa(MaxLogFields)+" bytes long")
		}
	}
	return f
}

// tale carries out what a worker tells of its attempt, if it may.
func (c *Control) tale(ctx context.Context, a Attempt, do func() error) error {
	if _, err := c.attempt(ctx, a); err != nil {
		return err
	}
	if wait := c.reports.wait(a.Job, a.Number, time.Now()); wait > 0 {
		return &Error{Kind: Full, Code: "too_many_reports", RetryAfter: wait, Detail: "this attempt reports too often; gather lines, and send them once a second"}
	}
	err := do()
	if errors.Is(err, store.ErrNotFound) { // it has ended since
		if _, err = c.attempt(ctx, a); err == nil {
			err = notTaken("the attempt could not be written to")
		}
		return err
	}
	return storeError("note what a worker tells", err)
}

// Log is a page of a job's log.
type Log struct {
	Lines []LogLine
	// Cursor leads to the next page, empty after the last one.
	Cursor string
	// Truncated says that the log is full, and lines were left out after its last.
	Truncated bool
}

// DefaultLogPage and MaxLogPage are how many lines a page has.
const (
	DefaultLogPage = 100
	MaxLogPage     = 1000
)

// JobLog returns a page of a job's log, in order.
func (c *Control) JobLog(ctx context.Context, id job.ID, cursor string, limit int) (*Log, error) {
	if _, err := c.readJob(ctx, id); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = DefaultLogPage
	}
	after, query := 0, "log "+id.String()
	if cursor != "" {
		place, err := decodeCursor(cursor, query)
		if err == nil {
			after, err = strconv.Atoi(place)
		}
		if err != nil {
			return nil, invalid(badField("cursor", "%s", errCursor))
		}
	}
	told, err := c.store.Journal(ctx, id)
	if err != nil {
		return nil, storeError("read a log", err)
	}
	lines, err := c.store.LogLines(ctx, id, after, min(limit, MaxLogPage))
	if err != nil {
		return nil, storeError("read a log", err)
	}
	page := &Log{Lines: lines, Truncated: told.Truncated}
	if n := len(lines); n > 0 && lines[n-1].Number < told.Lines {
		page.Cursor = encodeCursor(strconv.Itoa(lines[n-1].Number), query)
	}
	return page, nil
}

// The reports of one attempt that are taken at once, and how often one is after that.
const (
	reportBurst = 10
	reportEvery = 200 * time.Millisecond
)

// maxPaced bounds the attempts that are kept account of.
const maxPaced = 1 << 16

// reportPace is how often attempts report, on this node: of each, when it will be at rest.
type reportPace struct {
	mu    sync.Mutex
	rests map[pacedAttempt]time.Time
}

type pacedAttempt struct {
	id     job.ID
	number int
}

// wait takes a report, or returns how long it has to wait.
func (p *reportPace) wait(id job.ID, number int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := pacedAttempt{id, number}
	rest, known := p.rests[key]
	if !known && len(p.rests) >= maxPaced {
		p.forget(now)
		if len(p.rests) >= maxPaced {
			return time.Second
		}
	}
	if rest.Before(now) {
		rest = now
	}
	if ahead := rest.Sub(now) - (reportBurst-1)*reportEvery; ahead > 0 {
		return ahead
	}
	if p.rests == nil {
		p.rests = make(map[pacedAttempt]time.Time)
	}
	p.rests[key] = rest.Add(reportEvery)
	return 0
}

// forget drops the attempts that are at rest.
func (p *reportPace) forget(now time.Time) {
	for key, rest := range p.rests {
		if rest.Before(now) {
			delete(p.rests, key)
		}
	}
}
