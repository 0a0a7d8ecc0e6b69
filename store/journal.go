package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Journal is what a job's workers tell of it while they work: how far it is, and how
// much log there is. Any node writes it, without the shard's owner, in keys that the
// owner does not look at until the job is deleted.
type Journal struct {
	// Lines is how many lines of log there are, numbered from 1, and Bytes their size.
	Lines, Bytes int
	// Truncated says that the log is full, and lines were left out after the last.
	Truncated bool
	// Progress is how far the job was at last; its At is zero where nobody said.
	Progress Progress

	write uint64 // which of the writes it was: one that is repeated is seen by it
}

// Progress is how far a job is.
type Progress struct {
	// Percent is from 0 to 100.
	Percent float64
	Message string
	At      time.Time
	// Attempt is the one that said so.
	Attempt int
}

// LogLine is one line of a job's log.
type LogLine struct {
	// Number counts from 1, over all attempts.
	Number  int
	Attempt int
	// Level is a word, Time the worker's.
	Level   string
	Time    time.Time
	Message string
	// Fields are a JSON object, or empty.
	Fields []byte
}

// The bounds of one job's log.
const (
	MaxLogLines = 10_000
	MaxLogBytes = 1 << 20
)

// AppendLog appends lines to a job's log, as many as there is room for, while the
// attempt goes on. It returns ErrNotFound where it does not. Numbers and attempts of the
// lines are set here. It may be called concurrently, by any node; after ErrUnavailable
// the lines may be there.
func (s *Store) AppendLog(ctx context.Context, id job.ID, attempt int, lines []LogLine) (*Journal, error) {
	j, err := s.changeJournal(ctx, id, attempt, func(j *Journal) (chunk []byte) {
		return j.append(attempt, lines)
	})
	if err != nil {
		return nil, fmt.Errorf("store: log of %s: %w", id, err)
	}
	return j, nil
}

// append notes lines, and returns what is to be stored of them.
func (j *Journal) append(attempt int, lines []LogLine) (chunk []byte) {
	for i := range lines {
		line := lines[i]
		line.Attempt = attempt
		start := len(chunk)
		chunk = appendBlob(chunk, 1, appendLogLine(nil, &line))
		if j.Truncated || j.Lines >= MaxLogLines || j.Bytes+len(chunk)-start > MaxLogBytes {
			j.Truncated = true
			return chunk[:start]
		}
		j.Lines++
		j.Bytes += len(chunk) - start
	}
	return chunk
}

// SetProgress notes how far an attempt is that goes on; Attempt says which. Its At is set
// here. It returns ErrNotFound where the attempt is over. It may be called concurrently,
// by any node.
func (s *Store) SetProgress(ctx context.Context, id job.ID, p Progress) error {
	var err error
	if p.At, err = s.engine.Now(ctx); err == nil {
		_, err = s.changeJournal(ctx, id, p.Attempt, func(j *Journal) []byte {
			j.Progress = p
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("store: progress of %s: %w", id, err)
	}
	return nil
}

// changeJournal changes a job's journal, and stores the lines that change returns,
// while an attempt goes on.
func (s *Store) changeJournal(ctx context.Context, id job.ID, attempt int, change func(*Journal) []byte) (*Journal, error) {
	if id.Shard() >= s.Shards() {
		return nil, ErrNotFound
	}
	write := rand.Uint64()
	for {
		j, err := s.tryJournal(ctx, id, attempt, write, change)
		if !errors.Is(err, errChanged) {
			return j, err
		}
	}
}

func (s *Store) tryJournal(ctx context.Context, id job.ID, attempt int, write uint64, change func(*Journal) []byte) (*Journal, error) {
	jobKey, key := appendIDKey(nil, spaceJob, id), appendIDKey(nil, spaceJournal, id)
	values, err := s.engine.Get(ctx, id.Shard(), jobKey, key)
	if err != nil {
		return nil, err
	}
	if values[0] == nil {
		return nil, ErrNotFound
	}
	at, err := decodeJob(id, values[0])
	if err != nil {
		return nil, err
	}
	if at.Settled() || at.Attempt >= attempt {
		return nil, ErrNotFound
	}
	j, err := parseJournal(values[1])
	if err != nil || j.write == write { // it was written, and only the answer was lost
		return j, err
	}
	was := *j
	chunk := change(j)
	if *j == was { // the log is full: that costs no write
		return j, nil
	}
	j.write = write
	// The job's record stands for its attempt, which ends with a new one: so nothing is
	// written of a job that has ended, and nothing is left of one that is deleted.
	group := engine.Group{
		Guards: []engine.Guard{{Key: jobKey, Value: values[0]}, {Key: key, Value: values[1]}},
		Puts:   []engine.Entry{{Key: key, Value: appendJournal(nil, j)}},
	}
	if len(chunk) > 0 {
		group.Puts = append(group.Puts, engine.Entry{Key: appendLogKey(nil, id, was.Lines+1), Value: chunk})
	}
	result, err := s.engine.Apply(ctx, id.Shard(), &engine.Batch{Groups: []engine.Group{group}})
	if err == nil && result.Groups[0].Skipped {
		return nil, errChanged
	}
	return j, err
}

// Journal returns what is known of a job; one of which nobody has told anything has an
// empty one.
func (s *Store) Journal(ctx context.Context, id job.ID) (*Journal, error) {
	data, err := s.get(ctx, spaceJournal, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("store: journal of %s: %w", id, err)
	}
	j, err := parseJournal(data)
	if err != nil {
		return nil, fmt.Errorf("store: journal of %s: %w", id, err)
	}
	return j, nil
}

// LogLines returns up to limit lines of a job's log, in order, from the one after the number
// after.
func (s *Store) LogLines(ctx context.Context, id job.ID, after, limit int) ([]LogLine, error) {
	if id.Shard() >= s.Shards() || limit <= 0 {
		return nil, nil
	}
	lines, err := s.log(ctx, id, max(after, 0), limit)
	if err != nil {
		return nil, fmt.Errorf("store: log of %s: %w", id, err)
	}
	return lines, nil
}

func (s *Store) log(ctx context.Context, id job.ID, after, limit int) (lines []LogLine, err error) {
	// The line lies in the last chunk that begins at or before it.
	first, last := appendLogKey(nil, id, 0), appendLogKey(nil, id, math.MaxInt)
	from := appendLogKey(nil, id, after+1)
	chunks, err := s.engine.Scan(ctx, id.Shard(), engine.Range{From: first, To: append(from, 0), Limit: 1, Reverse: true})
	if err != nil || len(chunks) == 0 {
		return nil, err
	}
	chunks, err = s.engine.Scan(ctx, id.Shard(), engine.Range{From: chunks[0].Key, To: last, Limit: min(limit+1, engine.MaxScan)})
	if err != nil {
		return nil, err
	}
	for _, c := range chunks {
		some, err := parseLog(c)
		if err != nil {
			return nil, err
		}
		for i := range some {
			if some[i].Number <= after {
				continue
			}
			if lines = append(lines, some[i]); len(lines) == limit {
				return lines, nil
			}
		}
	}
	return lines, nil
}

// deleteJournals removes what workers have told of jobs that are deleted.
func (o *Owner) deleteJournals(ctx context.Context, b *batch, gone []*job.Job) error {
	if len(gone) == 0 {
		return nil
	}
	ids := make([]job.ID, len(gone))
	for i, j := range gone {
		ids[i] = j.ID
	}
	values, err := o.store.engine.Get(ctx, o.shard, idKeys(spaceJournal, ids)...)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if values[i] == nil { // mostly: a range costs readers more than a look
			continue
		}
		b.delete(b.idKey(spaceJournal, id))
		b.deleteRange(appendLogKey(nil, id, 0), appendLogKey(nil, id, math.MaxInt))
	}
	return nil
}

// appendLogKey appends the key of a chunk by its first line.
func appendLogKey(b []byte, id job.ID, number int) []byte {
	return binary.BigEndian.AppendUint64(appendIDKey(b, spaceLog, id), uint64(number))
}

// The fields of a journal.
const (
	journalLines protowire.Number = iota + 1
	journalBytes
	journalTruncated
	journalPercent // in bits of a float64
	journalMessage
	journalAt
	journalAttempt
	journalWrite
)

func appendJournal(b []byte, j *Journal) []byte {
	b = appendInt(b, journalLines, int64(j.Lines))
	b = appendInt(b, journalBytes, int64(j.Bytes))
	if j.Truncated {
		b = appendInt(b, journalTruncated, 1)
	}
	b = appendInt(b, journalPercent, int64(math.Float64bits(j.Progress.Percent)))
	b = appendText(b, journalMessage, j.Progress.Message)
	b = appendTime(b, journalAt, j.Progress.At)
	b = appendInt(b, journalAttempt, int64(j.Progress.Attempt))
	return appendInt(b, journalWrite, int64(j.write))
}

func parseJournal(data []byte) (*Journal, error) {
	j := new(Journal)
	f := fields{rest: data}
	for f.next() {
		switch f.number {
		case journalLines:
			j.Lines = int(f.int())
		case journalBytes:
			j.Bytes = int(f.int())
		case journalTruncated:
			j.Truncated = f.int() != 0
		case journalPercent:
			j.Progress.Percent = math.Float64frombits(uint64(f.int()))
		case journalMessage:
			j.Progress.Message = f.text()
		case journalAt:
			j.Progress.At = timeOf(f.int())
		case journalAttempt:
			j.Progress.Attempt = int(f.int())
		case journalWrite:
			j.write = uint64(f.int())
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return j, nil
}

// The fields of a line.
const (
	lineAttempt protowire.Number = iota + 1
	lineLevel
	lineTime
	lineMessage
	lineFields
)

func appendLogLine(b []byte, l *LogLine) []byte {
	b = appendInt(b, lineAttempt, int64(l.Attempt))
	b = appendText(b, lineLevel, l.Level)
	b = appendTime(b, lineTime, l.Time)
	b = appendText(b, lineMessage, l.Message)
	return appendBlob(b, lineFields, l.Fields)
}

func appendBlob(b []byte, n protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), value)
}

// parseLog reads a chunk.
func parseLog(e engine.Entry) (lines []LogLine, err error) {
	if len(e.Key) != 1+idLength+8 {
		return nil, errBadKey
	}
	number := int(binary.BigEndian.Uint64(e.Key[1+idLength:]))
	f := fields{rest: e.Value}
	for f.next() {
		if f.number != 1 {
			continue
		}
		line := LogLine{Number: number}
		inner := f.message()
		for inner.next() {
			switch inner.number {
			case lineAttempt:
				line.Attempt = int(inner.int())
			case lineLevel:
				line.Level = inner.text()
			case lineTime:
				line.Time = timeOf(inner.int())
			case lineMessage:
				line.Message = inner.text()
			case lineFields:
				line.Fields = inner.bytes()
			}
		}
		f.adopt(&inner)
		lines = append(lines, line)
		number++
	}
	return lines, f.err
}
