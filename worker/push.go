package worker

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// Push is one verified push: an attempt of a job. Everything but Header is
// covered by the signatures. It must not be modified; its methods may be called
// concurrently.
type Push struct {
	// ID is the job's id.
	ID string
	// WebhookID is the key to recognise a repetition by: the same on each attempt
	// of a job, and another one after somebody ran the ended job again.
	WebhookID string
	// Type, Queue and Key are the job's; Key is empty where it has none.
	Type, Queue, Key string
	// Attempt counts from 1, over all incarnations. MaxAttempts is how many
	// failures one incarnation may have; 0 where the push does not say.
	Attempt, MaxAttempts int
	// Incarnation counts how often the job was run again after its end.
	Incarnation int
	// Epoch rises when the job's shard changes hands.
	Epoch uint64
	// EnqueuedAt is when the job was accepted, Deadline when the push will be given
	// up, both by the server's clock; zero where the push does not say.
	EnqueuedAt, Deadline time.Time
	// Schedule is the schedule that enqueued the job, and ScheduledFor the slot it
	// is for; empty and zero for other jobs.
	Schedule     string
	ScheduledFor time.Time

	// Body is the job's payload, byte by byte, and ContentType its type.
	Body        []byte
	ContentType string
	// Header is the request's. Only its orchestrix-* and webhook-* headers are
	// signed.
	Header http.Header

	signedAt time.Time
	logger   *slog.Logger // nil in a Push that no Mux has made
	journal  *journal     // nil in one that is synchronous
}

// The headers in the form in which a map of net/http has them: looked up so they
// cost no allocation.
var (
	keyID               = http.CanonicalHeaderKey(webhook.HeaderID)
	keyTimestamp        = http.CanonicalHeaderKey(webhook.HeaderTimestamp)
	keySignature        = http.CanonicalHeaderKey(webhook.HeaderSignature)
	keyOwn              = http.CanonicalHeaderKey(webhook.HeaderOwnSignature)
	keyAttempt          = http.CanonicalHeaderKey(webhook.HeaderAttempt)
	keyDeadline         = http.CanonicalHeaderKey(webhook.HeaderDeadline)
	keyEnqueuedAt       = http.CanonicalHeaderKey(webhook.HeaderEnqueuedAt)
	keyEpoch            = http.CanonicalHeaderKey(webhook.HeaderEpoch)
	keyIncarnation      = http.CanonicalHeaderKey(webhook.HeaderIncarnation)
	keyJobType          = http.CanonicalHeaderKey(webhook.HeaderJobType)
	keyKey              = http.CanonicalHeaderKey(webhook.HeaderKey)
	keyMaxAttempts      = http.CanonicalHeaderKey(webhook.HeaderMaxAttempts)
	keyQueue            = http.CanonicalHeaderKey(webhook.HeaderQueue)
	keySchedule         = http.CanonicalHeaderKey(webhook.HeaderSchedule)
	keyCallbackURL      = http.CanonicalHeaderKey(webhook.HeaderCallbackURL)
	keyAttemptToken     = http.CanonicalHeaderKey(webhook.HeaderAttemptToken)
	keyHeartbeatTimeout = http.CanonicalHeaderKey(webhook.HeaderHeartbeatTimeout)
	keyScheduledFor     = http.CanonicalHeaderKey(webhook.HeaderScheduledFor)
)

// newPush reads the headers of a verified push. What it fails with is a mistake of
// the sender, who has the key.
func newPush(h http.Header, body []byte) (*Push, error) {
	r := headerReader{header: h}
	p := &Push{
		WebhookID: r.text(keyID), Type: r.decoded(keyJobType), Queue: r.decoded(keyQueue), Key: r.decoded(keyKey),
		Attempt: r.number(keyAttempt), MaxAttempts: r.number(keyMaxAttempts), Incarnation: r.number(keyIncarnation),
		Epoch: r.epoch(), EnqueuedAt: r.time(keyEnqueuedAt), Deadline: r.time(keyDeadline),
		Schedule: r.decoded(keySchedule), ScheduledFor: r.time(keyScheduledFor),
		Body: body, ContentType: h.Get("Content-Type"), Header: h,
	}
	p.signedAt = r.timestamp()
	if p.Type == "" {
		r.fail(keyJobType, "is missing")
	}
	p.ID = p.WebhookID
	if p.Incarnation > 0 {
		p.ID = strings.TrimSuffix(p.ID, "_r"+strconv.Itoa(p.Incarnation))
	}
	return p, r.err
}

// headerReader reads headers that are there at most once, which the verifier has
// seen to. It keeps the first error.
type headerReader struct {
	header http.Header
	err    error
}

func (r *headerReader) fail(key, message string) {
	if r.err == nil {
		r.err = fmt.Errorf("header %s %s", strings.ToLower(key), message)
	}
}

func (r *headerReader) text(key string) string {
	if values := r.header[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (r *headerReader) decoded(key string) string {
	value, err := webhook.DecodeValue(r.text(key))
	if err != nil {
		r.fail(key, "is not percent-encoded")
	}
	return value
}

func (r *headerReader) number(key string) int {
	text := r.text(key)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		r.fail(key, "is not a number")
	}
	return int(n)
}

func (r *headerReader) epoch() uint64 {
	text := r.text(keyEpoch)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		r.fail(keyEpoch, "is not a number")
	}
	return n
}

func (r *headerReader) time(key string) time.Time {
	text := r.text(key)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.fail(key, "is not a time of RFC 3339")
	}
	return at
}

func (r *headerReader) timestamp() time.Time {
	n, err := strconv.ParseInt(r.text(keyTimestamp), 10, 64)
	if err != nil {
		r.fail(keyTimestamp, "is not a number")
	}
	return time.Unix(n, 0)
}

// maxSkew is how far the clocks of server and worker may lie apart before the
// deadline is shifted. The timestamp has whole seconds, and a push its way.
const maxSkew = 2 * time.Second

// localDeadline is when the push is given up, by this machine's clock: a deadline
// of a server whose clock is wrong is as far away as it says, from the time at
// which it was signed.
func (p *Push) localDeadline(received time.Time) time.Time {
	skew := received.Sub(p.signedAt)
	if p.Deadline.IsZero() || skew.Abs() <= maxSkew {
		return p.Deadline
	}
	return p.Deadline.Add(skew)
}

type pushKey struct{}

// FromContext returns the push that ctx belongs to: that of a handler, and of
// everything it calls with its context.
func FromContext(ctx context.Context) (*Push, bool) {
	p, ok := ctx.Value(pushKey{}).(*Push)
	return p, ok
}
