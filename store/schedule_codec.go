package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
)

// fieldRun is the field of a job's record that is about the schedule it is a run of.
const fieldRun protowire.Number = 32 // message

const (
	runSchedule protowire.Number = iota + 1
	runSlot
	runAwaited
)

func appendRun(b []byte, j *job.Job) []byte {
	if j.Schedule == "" {
		return b
	}
	start := len(b)
	b = appendText(b, runSchedule, j.Schedule)
	b = appendTime(b, runSlot, j.ScheduledFor)
	if j.Awaited {
		b = appendInt(b, runAwaited, 1)
	}
	return wrapMessage(b, start, fieldRun)
}

func decodeRun(j *job.Job, outer *fields) {
	f := outer.message()
	for f.next() {
		switch f.number {
		case runSchedule:
			j.Schedule = f.text()
		case runSlot:
			j.ScheduledFor = timeOf(f.int())
		case runAwaited:
			j.Awaited = f.int() != 0
		}
	}
	outer.adopt(&f)
}

// The fields of a schedule's record. Its job's id and times are zero.
const (
	scheduleVersion protowire.Number = iota + 1
	scheduleCreated
	scheduleUpdated
	scheduleSpec
	scheduleState
	scheduleJob
	schedulePayload
	scheduleNext
	scheduleLast
	scheduleAwaits
	scheduleRuns
)

func appendSchedule(b []byte, s *Schedule) []byte {
	b = appendInt(b, scheduleVersion, int64(s.Version))
	b = appendTime(b, scheduleCreated, s.Created)
	b = appendTime(b, scheduleUpdated, s.Updated)
	b = appendBytes(b, scheduleSpec, s.Spec)
	b = appendBytes(b, scheduleState, s.State)
	start := len(b)
	b = wrapMessage(appendJob(b, s.Job), start, scheduleJob)
	b = appendBytes(b, schedulePayload, s.Payload)
	b = appendTime(b, scheduleNext, s.Next)
	b = appendBytes(b, scheduleLast, s.Last[:])
	if s.Awaits {
		b = appendInt(b, scheduleAwaits, 1)
	}
	return appendInt(b, scheduleRuns, int64(s.Runs))
}

// parseSchedule reads a record, which it keeps.
func parseSchedule(name string, data []byte) (*Schedule, error) {
	s := &Schedule{Name: name, stored: data}
	f := fields{rest: data}
	for f.next() {
		switch f.number {
		case scheduleVersion:
			s.Version = uint64(f.int())
		case scheduleCreated:
			s.Created = timeOf(f.int())
		case scheduleUpdated:
			s.Updated = timeOf(f.int())
		case scheduleSpec:
			s.Spec = f.bytes()
		case scheduleState:
			s.State = f.bytes()
		case scheduleJob:
			record := f.bytes()
			if f.err == nil {
				s.Job, f.err = decodeJob(job.ID{}, record)
			}
		case schedulePayload:
			s.Payload = f.bytes()
		case scheduleNext:
			s.Next = timeOf(f.int())
		case scheduleLast:
			f.exactly(s.Last[:])
		case scheduleAwaits:
			s.Awaits = f.int() != 0
		case scheduleRuns:
			s.Runs = uint64(f.int())
		}
	}
	if f.err == nil && s.Job == nil {
		f.err = errBadRecord
	}
	if f.err != nil {
		return nil, fmt.Errorf("store: schedule %.64q: %w", name, f.err)
	}
	s.timer = s.Next
	return s, nil
}

func appendScheduleKey(b []byte, name string) []byte {
	return append(append(b, spaceSchedule), name...)
}

func appendRunKey(b []byte, name string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(appendName(b, spaceRun, name), n)
}

func parseRunKey(key []byte) (uint64, error) {
	if len(key) < 8 {
		return 0, errBadKey
	}
	return binary.BigEndian.Uint64(key[len(key)-8:]), nil
}

// fireID tells the timers of schedules apart: the name itself may be too long for a
// timer's key, and is its value.
func fireID(name string) job.ID {
	sum := sha256.Sum256([]byte(name))
	return job.ID(sum[:len(job.ID{})])
}

func (b *batch) putFire(name string, at time.Time) {
	if !at.IsZero() {
		b.put(b.timerKey(at, TimerFire, fireID(name)), []byte(name))
	}
}

func (b *batch) deleteFire(name string, at time.Time) {
	if !at.IsZero() {
		b.delete(b.timerKey(at, TimerFire, fireID(name)))
	}
}
