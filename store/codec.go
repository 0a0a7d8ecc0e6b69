package store

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/orchestrix/orchestrix/job"
)

// A job's record is a message in the wire format of protocol buffers, so that
// fields can come and go: a reader skips the numbers it does not know. Zero
// values are left out. Times are milliseconds since 1970, durations
// nanoseconds. The id is not in the record: it is its key. Numbers are never
// used again for something else.
const (
	fieldQueue protowire.Number = iota + 1
	fieldType
	fieldKey
	fieldPriority
	fieldLabel  // message: 1 key, 2 value
	fieldHeader // message: 1 name, 2 value
	fieldURL
	fieldContentType
	fieldPayloadSize
	fieldTimeout
	fieldRetry // message
	fieldIdempotencyKey
	fieldCreatedAt
	fieldRunAt
	fieldExpiresAt
	fieldStatus
	fieldReason
	fieldIncarnation
	fieldAttempt
	fieldFailures
	fieldLosses
	fieldDue
	fieldStartedAt
	fieldFinishedAt
	fieldAttempts // message
	fieldCounted
	fieldMethod
)

// The fields of the retry policy.
const (
	policyMaxAttempts protowire.Number = iota + 1
	policyMaxDuration
	policyBackoff
	policyInitialDelay
	policyFactor // fixed64, a float's bits
	policyMaxDelay
	policyJitter
	policyDelays        // packed
	policyFatalStatuses // packed
)

// The fields of an attempt.
const (
	attemptNumber protowire.Number = iota + 1
	attemptIncarnation
	attemptWorker
	attemptURL
	attemptStartedAt
	attemptDuration
	attemptOutcome
	attemptStatusCode
	attemptError
	attemptReason
	attemptAnswer
	attemptAnswerSize
	attemptAnswerType
	attemptReport
)

// appendJob appends the record of a job.
func appendJob(b []byte, j *job.Job) []byte { return appendCounted(appendUncounted(b, j), j.Counted) }

// appendCounted ends the record of a job.
func appendCounted(b []byte, bytes int) []byte { return appendInt(b, fieldCounted, int64(bytes)) }

// appendUncounted appends the record of a job without what it is counted with,
// which depends on the record's length.
func appendUncounted(b []byte, j *job.Job) []byte {
	b = appendText(b, fieldQueue, j.Queue)
	b = appendText(b, fieldType, j.Type)
	b = appendText(b, fieldKey, j.Key)
	b = appendInt(b, fieldPriority, int64(j.Priority))
	b = appendTexts(b, fieldLabel, j.Labels)
	b = appendTexts(b, fieldHeader, j.Headers)
	b = appendText(b, fieldURL, j.URL)
	b = appendText(b, fieldMethod, j.Method)
	b = appendText(b, fieldContentType, j.ContentType)
	b = appendInt(b, fieldPayloadSize, int64(j.PayloadSize))
	b = appendInt(b, fieldTimeout, int64(j.Timeout))
	b = appendPolicy(b, &j.Retry)
	b = appendText(b, fieldIdempotencyKey, j.IdempotencyKey)
	b = appendTurn(b, j)
	b = appendUnique(b, j.Unique)
	b = appendRun(b, j)
	b = appendTime(b, fieldCreatedAt, j.CreatedAt)
	b = appendTime(b, fieldRunAt, j.RunAt)
	b = appendTime(b, fieldExpiresAt, j.ExpiresAt)
	b = appendInt(b, fieldStatus, int64(j.Status))
	b = appendText(b, fieldReason, string(j.Reason))
	b = appendInt(b, fieldIncarnation, int64(j.Incarnation))
	b = appendInt(b, fieldAttempt, int64(j.Attempt))
	b = appendInt(b, fieldFailures, int64(j.Failures))
	b = appendInt(b, fieldLosses, int64(j.Losses))
	b = appendTime(b, fieldDue, j.Due)
	b = appendTime(b, fieldStartedAt, j.StartedAt)
	b = appendTime(b, fieldFinishedAt, j.FinishedAt)
	for i := range j.Attempts {
		start := len(b)
		b = appendAttempt(b, &j.Attempts[i])
		b = wrapMessage(b, start, fieldAttempts)
	}
	return b
}

func appendPolicy(b []byte, p *job.Policy) []byte {
	if p.IsZero() {
		return b
	}
	start := len(b)
	b = appendInt(b, policyMaxAttempts, int64(p.MaxAttempts))
	b = appendInt(b, policyMaxDuration, int64(p.MaxDuration))
	b = appendText(b, policyBackoff, string(p.Backoff))
	b = appendInt(b, policyInitialDelay, int64(p.InitialDelay))
	if p.Factor != 0 {
		b = protowire.AppendTag(b, policyFactor, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, math.Float64bits(p.Factor))
	}
	b = appendInt(b, policyMaxDelay, int64(p.MaxDelay))
	b = appendText(b, policyJitter, string(p.Jitter))
	b = appendPacked(b, policyDelays, p.Delays)
	b = appendPacked(b, policyFatalStatuses, p.FatalStatuses)
	return wrapMessage(b, start, fieldRetry)
}

func appendAttempt(b []byte, a *job.Attempt) []byte {
	b = appendInt(b, attemptNumber, int64(a.Number))
	b = appendInt(b, attemptIncarnation, int64(a.Incarnation))
	b = appendText(b, attemptWorker, a.Worker)
	b = appendText(b, attemptURL, a.URL)
	b = appendTime(b, attemptStartedAt, a.StartedAt)
	b = appendInt(b, attemptDuration, int64(a.Duration))
	b = appendInt(b, attemptOutcome, int64(a.Outcome))
	b = appendInt(b, attemptStatusCode, int64(a.StatusCode))
	b = appendText(b, attemptError, a.Error)
	b = appendText(b, attemptReason, string(a.Reason))
	if a.Answer != nil {
		b = protowire.AppendTag(b, attemptAnswer, protowire.BytesType)
		b = protowire.AppendBytes(b, a.Answer)
	}
	b = appendInt(b, attemptAnswerSize, int64(a.AnswerSize))
	b = appendText(b, attemptAnswerType, a.AnswerType)
	return appendInt(b, attemptReport, int64(a.Report))
}

func appendText(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func appendInt(b []byte, n protowire.Number, v int64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func appendTime(b []byte, n protowire.Number, t time.Time) []byte {
	return appendInt(b, n, millis(t))
}

// appendTexts appends a map, by key, so that equal jobs have equal records.
func appendTexts(b []byte, n protowire.Number, m map[string]string) []byte {
	if len(m) == 0 {
		return b
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		start := len(b)
		b = appendText(b, 1, k)
		b = appendText(b, 2, m[k])
		b = wrapMessage(b, start, n)
	}
	return b
}

func appendPacked[T ~int | ~int64](b []byte, n protowire.Number, values []T) []byte {
	if len(values) == 0 {
		return b
	}
	start := len(b)
	for _, v := range values {
		b = protowire.AppendVarint(b, uint64(v))
	}
	return wrapMessage(b, start, n)
}

// wrapMessage makes what was appended since start a message of that field, by
// moving it behind a tag and a length.
func wrapMessage(b []byte, start int, n protowire.Number) []byte {
	var head [2 * 10]byte
	h := protowire.AppendVarint(protowire.AppendTag(head[:0], n, protowire.BytesType), uint64(len(b)-start))
	b = append(b, h...)
	copy(b[start+len(h):], b[start:len(b)-len(h)])
	copy(b[start:], h)
	return b
}

// decodeJob reads a job's record. It keeps nothing of data.
func decodeJob(id job.ID, data []byte) (*job.Job, error) {
	j := &job.Job{ID: id}
	f := fields{rest: bytes.Clone(data)}
	for f.next() {
		decodeJobField(j, &f)
	}
	if f.err == nil && (j.Queue == "" || j.Status == 0) {
		f.err = errBadRecord
	}
	if f.err != nil {
		return nil, fmt.Errorf("store: record of %s: %w", id, f.err)
	}
	return j, nil
}

func decodeJobField(j *job.Job, f *fields) {
	switch f.number {
	case fieldQueue:
		j.Queue = f.text()
	case fieldType:
		j.Type = f.text()
	case fieldKey:
		j.Key = f.text()
	case fieldPriority:
		j.Priority = job.Priority(f.small())
	case fieldLabel:
		j.Labels = f.pair(j.Labels)
	case fieldHeader:
		j.Headers = f.pair(j.Headers)
	case fieldURL:
		j.URL = f.text()
	case fieldMethod:
		j.Method = f.text()
	case fieldContentType:
		j.ContentType = f.text()
	case fieldPayloadSize:
		j.PayloadSize = int(f.int())
	case fieldTimeout:
		j.Timeout = job.Duration(f.int())
	case fieldRetry:
		decodePolicy(&j.Retry, f)
	case fieldIdempotencyKey:
		j.IdempotencyKey = f.text()
	case fieldTurn:
		decodeTurn(j, f)
	case fieldUnique:
		decodeUnique(j, f)
	case fieldRun:
		decodeRun(j, f)
	case fieldAttempts:
		decodeAttempt(j, f)
	default:
		decodeProgress(j, f)
	}
}

// decodeProgress reads what changes while a job lives.
func decodeProgress(j *job.Job, f *fields) {
	switch f.number {
	case fieldCreatedAt:
		j.CreatedAt = timeOf(f.int())
	case fieldRunAt:
		j.RunAt = timeOf(f.int())
	case fieldExpiresAt:
		j.ExpiresAt = timeOf(f.int())
	case fieldStatus:
		j.Status = job.Status(f.small())
	case fieldReason:
		j.Reason = job.Reason(f.text())
	case fieldIncarnation:
		j.Incarnation = int(f.int())
	case fieldAttempt:
		j.Attempt = int(f.int())
	case fieldFailures:
		j.Failures = int(f.int())
	case fieldLosses:
		j.Losses = int(f.int())
	case fieldDue:
		j.Due = timeOf(f.int())
	case fieldStartedAt:
		j.StartedAt = timeOf(f.int())
	case fieldFinishedAt:
		j.FinishedAt = timeOf(f.int())
	case fieldCounted:
		j.Counted = int(f.int())
	}
}

func decodePolicy(p *job.Policy, outer *fields) {
	f := outer.message()
	for f.next() {
		switch f.number {
		case policyMaxAttempts:
			p.MaxAttempts = int(f.int())
		case policyMaxDuration:
			p.MaxDuration = job.Duration(f.int())
		case policyBackoff:
			p.Backoff = job.Backoff(f.text())
		case policyInitialDelay:
			p.InitialDelay = job.Duration(f.int())
		case policyFactor:
			p.Factor = math.Float64frombits(f.fixed())
		case policyMaxDelay:
			p.MaxDelay = job.Duration(f.int())
		case policyJitter:
			p.Jitter = job.Jitter(f.text())
		case policyDelays:
			p.Delays = unpack[job.Duration](&f)
		case policyFatalStatuses:
			p.FatalStatuses = unpack[int](&f)
		}
	}
	outer.adopt(&f)
}

func decodeAttempt(j *job.Job, outer *fields) {
	f := outer.message()
	var a job.Attempt
	for f.next() {
		switch f.number {
		case attemptNumber:
			a.Number = int(f.int())
		case attemptIncarnation:
			a.Incarnation = int(f.int())
		case attemptWorker:
			a.Worker = f.text()
		case attemptURL:
			a.URL = f.text()
		case attemptStartedAt:
			a.StartedAt = timeOf(f.int())
		case attemptDuration:
			a.Duration = time.Duration(f.int())
		case attemptOutcome:
			a.Outcome = job.Outcome(f.small())
		case attemptStatusCode:
			a.StatusCode = int(f.int())
		case attemptError:
			a.Error = f.text()
		case attemptReason:
			a.Reason = job.Reason(f.text())
		case attemptAnswer:
			a.Answer = f.bytes()
		case attemptAnswerSize:
			a.AnswerSize = int(f.int())
		case attemptAnswerType:
			a.AnswerType = f.text()
		case attemptReport:
			a.Report = uint64(f.int())
		}
	}
	outer.adopt(&f)
	j.Attempts = append(j.Attempts, a)
}

func unpack[T ~int | ~int64](f *fields) (values []T) {
	for raw := f.bytes(); len(raw) > 0; {
		v, n := protowire.ConsumeVarint(raw)
		if n < 0 {
			f.err = errBadRecord
			return nil
		}
		values = append(values, T(v))
		raw = raw[n:]
	}
	return values
}

// alias returns b as a string without a copy. b must never change afterwards.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
