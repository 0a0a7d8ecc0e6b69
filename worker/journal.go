package worker

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"
)

// flushEvery is how long log lines and progress are gathered before they are sent.
const flushEvery = time.Second

// The bounds of what waits to be sent of one attempt, and of one line.
const (
	maxEntries    = 1000
	maxEntryBytes = 256 << 10
	maxLine       = 16 << 10
	maxText       = 4 << 10 // a message, or a text among the fields
)

// journal gathers what an attempt has to say of itself between two reports. It
// never blocks: what comes faster than it can be sent is counted and dropped.
type journal struct {
	wake chan struct{} // has one where there is something to send

	handler slog.Handler

	mu       sync.Mutex
	progress *progressBody
	entries  []json.RawMessage
	size     int // bytes in entries
	dropped  int
}

type progressBody struct {
	Percent float64 `json:"percent"`
	Message string  `json:"message,omitempty"`
}

type logsBody struct {
	Entries []json.RawMessage `json:"entries"`
}

func newJournal() *journal {
	j := &journal{wake: make(chan struct{}, 1)}
	// A line of this handler is an entry as it is sent.
	j.handler = slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: entryAttr}).WithGroup("fields")
	return j
}

// entryAttr gives an entry the member names of the contract, and bounds its texts.
func entryAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		switch a.Key {
		case slog.MessageKey:
			a.Key = "message"
		case slog.LevelKey:
			level, _ := a.Value.Any().(slog.Level)
			return slog.String("level", levelName(level))
		}
	}
	if a.Value.Kind() == slog.KindString && len(a.Value.String()) > maxText {
		a.Value = slog.StringValue(strings.ToValidUTF8(a.Value.String()[:maxText], "") + "…")
	}
	return a
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

// Write implements io.Writer for the handler, which writes a line at a time.
func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(line) > maxLine || len(j.entries) >= maxEntries || j.size+len(line) > maxEntryBytes {
		j.dropped++
	} else {
		j.append(line)
	}
	j.ring()
	return len(line), nil
}

func (j *journal) append(line []byte) {
	j.entries = append(j.entries, append(json.RawMessage(nil), line[:len(line)-1]...)) // without the line feed
	j.size += len(line)
}

// ring wakes who sends, once.
func (j *journal) ring() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// setProgress replaces what was not sent yet.
func (j *journal) setProgress(percent float64, message string) {
	if math.IsNaN(percent) {
		percent = 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.progress = &progressBody{min(max(percent, 0), 100), plainText(message)}
	j.ring()
}

// note adds an entry of the SDK's own, also where there is no more room.
func (j *journal) note(at time.Time, message string) {
	line, err := json.Marshal(map[string]any{"time": at, "level": "warn", "message": message})
	if err != nil {
		return // of a time and two texts: never
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.append(append(line, '\n'))
	j.ring()
}

// take empties the journal.
func (j *journal) take() (*progressBody, []json.RawMessage) {
	j.mu.Lock()
	dropped := j.dropped
	j.dropped = 0
	j.mu.Unlock()
	if dropped > 0 {
		j.note(time.Now(), fmt.Sprintf("%d log lines were dropped: too many at once, or too long", dropped))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	progress, entries := j.progress, j.entries
	j.progress, j.entries, j.size = nil, nil, 0
	select {
	case <-j.wake:
	default:
	}
	return progress, entries
}

// keepProgress puts progress back that was not sent, unless there is newer.
func (j *journal) keepProgress(p *progressBody) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.progress == nil {
		j.progress = p
	}
	j.ring()
}

// keepEntries puts entries back that were not sent, before those that came since.
func (j *journal) keepEntries(entries []json.RawMessage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(entries, j.entries...)
	for _, e := range entries {
		j.size += len(e) + 1
	}
	j.ring()
}
