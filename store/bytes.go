package store

import (
	"slices"

	"github.com/orchestrix/orchestrix/job"
)

// What a job is counted with is written in its record. So a counter loses just
// what it was given, whatever wrote the record: a job stored before bytes were
// counted is counted with nothing, and the sums never fall below zero.

// recordNew returns the record of a new job and counts its payload.
func (b *batch) recordNew(j *job.Job) []byte {
	j.Counted = j.PayloadSize
	start := len(b.buf)
	b.buf = appendJob(b.buf, j)
	b.count(j.Queue, classBytes, int64(j.Counted))
	return b.since(start)
}

// recount returns the record of a job that changes, and counts it by what it is
// from now on. The job itself is left as it is: the batch of a commit may have to
// be made a second time.
func (b *batch) recount(s *Settle) []byte {
	j := s.Job
	start := len(b.buf)
	b.buf = appendUncounted(b.buf, j)
	counted := j.PayloadSize
	if j.Settled() {
		counted = keptBytes(j, len(b.buf)-start)
	}
	b.count(j.Queue, bytesOf(s.Was.Status), -int64(j.Counted))
	b.count(j.Queue, bytesOf(j.Status), int64(counted))
	b.buf = appendCounted(b.buf, counted)
	return b.since(start)
}

// bytesOf returns where the bytes of a job in a status are counted.
func bytesOf(s job.Status) class {
	if s == job.Waiting {
		return classBytes
	}
	return classKept
}

// keptBytes returns what a finished job takes: its payload, its record, which
// holds the beginnings of its answers, and the one answer that is kept whole.
func keptBytes(j *job.Job, record int) int {
	for _, a := range slices.Backward(j.Attempts) {
		if a.AnswerSize > len(a.Answer) {
			return record + j.PayloadSize + a.AnswerSize
		}
	}
	return record + j.PayloadSize
}
