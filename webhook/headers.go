package webhook

import (
	"errors"
	"strings"
)

// The headers of Standard Webhooks 1.0 that a push carries.
const (
	// HeaderID holds the job's id, the same on each attempt: the idempotency
	// key. After a redrive "_r" and the incarnation are appended.
	HeaderID = "webhook-id"
	// HeaderTimestamp holds the time of signing in seconds since the Unix epoch.
	HeaderTimestamp = "webhook-timestamp"
	// HeaderSignature holds one signature per secret and key, separated by spaces.
	HeaderSignature = "webhook-signature"
)

// HeaderPrefix begins the name of every header that orchestrix-signature
// covers. Names are lower case here; HTTP does not tell cases apart.
const HeaderPrefix = "orchestrix-"

// The headers of a push beyond the standard. Times are RFC 3339 in UTC; job
// type, queue and key are encoded by EncodeValue. An empty value is not sent.
const (
	HeaderAttempt = "orchestrix-attempt"
	// HeaderAttemptToken is the bearer token by which the attempt may be reported on
	// at HeaderCallbackURL.
	HeaderAttemptToken = "orchestrix-attempt-token"
	HeaderCallbackURL  = "orchestrix-callback-url"
	HeaderDeadline     = "orchestrix-deadline"
	HeaderEnqueuedAt   = "orchestrix-enqueued-at"
	HeaderEpoch        = "orchestrix-epoch"
	// HeaderHeartbeatTimeout holds how long the worker may be silent once it has taken the
	// attempt over: whole seconds and an "s".
	HeaderHeartbeatTimeout = "orchestrix-heartbeat-timeout"
	HeaderIncarnation      = "orchestrix-incarnation"
	HeaderJobType          = "orchestrix-job-type"
	HeaderKey              = "orchestrix-key"
	HeaderMaxAttempts      = "orchestrix-max-attempts"
	HeaderQueue            = "orchestrix-queue"
	// HeaderSchedule names the schedule whose run the job is, and HeaderScheduledFor holds
	// the slot that it is for: the nominal time. Any other job has neither.
	HeaderSchedule     = "orchestrix-schedule"
	HeaderScheduledFor = "orchestrix-scheduled-for"
	// HeaderOwnSignature covers every other orchestrix-* header, the id, the
	// time and the body.
	HeaderOwnSignature = "orchestrix-signature"
)

// TypeCancel is the job type of the push that tells a worker that an attempt which it
// has taken over is cancelled. It carries the headers of the job.
const TypeCancel = "orchestrix.job.cancel"

// The headers that mean something in a worker's answer.
const (
	// HeaderNoRetry with the value "true" makes a failed job dead at once.
	HeaderNoRetry = "orchestrix-no-retry"
	// HeaderAsync with the value "true" and status 202 takes the attempt over: the
	// worker reports its end later.
	HeaderAsync = "orchestrix-async"
)

// ErrInvalidEncoding is returned for a header value that EncodeValue did not
// write.
var ErrInvalidEncoding = errors.New("webhook: header value is not percent-encoded")

const upperHex = "0123456789ABCDEF"

// EncodeValue returns s as the value of a header. Visible ASCII but '%' stands
// for itself; every other byte, space included, becomes '%' and two upper-case
// hex digits. It is reversed by DecodeValue, whatever bytes s holds, and a
// value without such bytes is returned as it is.
func EncodeValue(s string) string {
	for i := range len(s) {
		if !plainByte(s[i]) {
			return string(AppendEncoded(make([]byte, 0, len(s)+16), s))
		}
	}
	return s
}

// AppendEncoded appends EncodeValue(s) to dst.
func AppendEncoded(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; plainByte(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

func plainByte(c byte) bool { return c > ' ' && c < 0x7f && c != '%' }

// DecodeValue returns what EncodeValue encoded. It fails with
// ErrInvalidEncoding where a '%' is not followed by two hex digits.
func DecodeValue(s string) (string, error) {
	first := strings.IndexByte(s, '%')
	if first < 0 {
		return s, nil
	}
	out := append(make([]byte, 0, len(s)), s[:first]...)
	for i := first; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", ErrInvalidEncoding
		}
		hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
		if hi > 15 || lo > 15 {
			return "", ErrInvalidEncoding
		}
		out = append(out, hi<<4|lo)
		i += 2
	}
	return string(out), nil
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
