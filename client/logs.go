package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Progress is how far a job is, as its worker has said.
type Progress struct {
	// Percent is from 0 to 100.
	Percent float64   `json:"percent"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
	// Attempt is the one that has said so.
	Attempt int `json:"attempt"`
}

// LogLine is a line of a job's log. What is in it, a worker has written.
type LogLine struct {
	// Number counts from 1, over all attempts.
	Number  int `json:"number"`
	Attempt int `json:"attempt"`
	// Level is trace, debug, info, warn, error or critical.
	Level string `json:"level"`
	// Time is the worker's.
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
	// Fields are a JSON object, or empty.
	Fields json.RawMessage `json:"fields,omitempty"`
}

// JobLogs walks over a job's log, the oldest line first. It ends after the first error.
func (c *Client) JobLogs(ctx context.Context, id string) iter.Seq2[LogLine, error] {
	return walk[LogLine](ctx, c, logsPath(id), "read the log of "+id)
}

func logsPath(id string) string { return "/v1/jobs/" + url.PathEscape(id) + "/logs" }

// LogEvent is one thing that FollowLogs tells. One of its fields is set.
type LogEvent struct {
	Line     *LogLine
	Progress *Progress
	// Truncated says that the log is full, and that further lines are left out.
	Truncated bool
	// Ended is the status of a job that has ended; nothing comes after it.
	Ended string
}

const (
	// followSilence is how long a stream may be silent: a server that has nothing to
	// tell says so every 15 seconds.
	followSilence = time.Minute
	// maxEventLine is more than a line of log can be long.
	maxEventLine = 256 << 10
)

var errSilent = errors.New("nothing has come for " + followSilence.String())

// FollowLogs tells of a job's log, from its first line, and of its progress, until the job
// has ended or ctx ends. Where the connection breaks, it goes on after the last line that
// came, as often as the client repeats calls without a line in between. It ends after the
// first error. The HTTP client must have no time-out of its own.
func (c *Client) FollowLogs(ctx context.Context, id string) iter.Seq2[LogEvent, error] {
	return func(yield func(LogEvent, error) bool) {
		f := follower{client: c, id: id, yield: yield}
		for try := 0; ; try++ {
			before := f.last
			err := f.follow(ctx)
			if f.over {
				return
			}
			if f.last != before {
				try = 0
			}
			wait, again := call{}.retryable(err, try)
			if f.strange || !again || try >= c.retries || !sleep(ctx, wait) {
				yield(LogEvent{}, fmt.Errorf("follow the log of %s: %w", id, err))
				return
			}
		}
	}
}

// follower is how far a job was followed.
type follower struct {
	client  *Client
	id      string
	yield   func(LogEvent, error) bool
	last    int  // the number of the last line
	over    bool // all is told, or nobody listens any more
	strange bool // what came is no stream of ours
}

// follow reads one stream to its end, which is an error unless all is told.
func (f *follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := f.client.request(ctx, call{method: http.MethodGet, path: logsPath(f.id), query: url.Values{"follow": {"true"}}}, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.last > 0 {
		req.Header.Set("Last-Event-ID", strconv.Itoa(f.last))
	}
	resp, err := f.client.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxEventLine))
		if err != nil {
			return err
		}
		return problemOf(resp, answer, time.Now())
	}
	silent := time.AfterFunc(followSilence, func() { cancel(errSilent) })
	defer silent.Stop()
	err = f.read(resp.Body, func() { silent.Reset(followSilence) })
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

// read reads events, and says of each line that something came.
func (f *follower) read(r io.Reader, came func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEventLine)
	kind, data := "", ""
	for lines.Scan() {
		came()
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "data":
			data = value
		case "": // the end of an event, or a comment
			if kind == "" {
				continue
			}
			if err := f.event(kind, data); err != nil || f.over {
				return err
			}
			kind, data = "", ""
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (f *follower) event(kind, data string) error {
	var e LogEvent
	var into any = &struct{}{}
	var end struct {
		Status string `json:"status"`
	}
	switch kind {
	case "log":
		e.Line = new(LogLine)
		into = e.Line
	case "progress":
		e.Progress = new(Progress)
		into = e.Progress
	case "truncated":
		e.Truncated = true
	case "end":
		into = &end
	default:
		return nil // of a later server
	}
	if err := json.Unmarshal([]byte(data), into); err != nil {
		f.strange = true
		return fmt.Errorf("the stream is not what this client expects: %w", err)
	}
	if e.Line != nil {
		f.last = e.Line.Number
	}
	e.Ended = end.Status
	f.over = !f.yield(e, nil) || kind == "end"
	return nil
}
