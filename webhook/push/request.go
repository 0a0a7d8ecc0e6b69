package push

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// DefaultTimeout bounds a push whose Request has no Deadline.
const DefaultTimeout = 30 * time.Second

const defaultContentType = "application/json"

// Request is one attempt to push a job. It is not modified, and neither kept
// nor read after Push has returned.
type Request struct {
	Destination *Destination

	JobID       job.ID
	Incarnation int
	// Attempt is the number of this attempt, counting from 1.
	Attempt     int
	MaxAttempts int
	// Type, Queue and Key may be any UTF-8; they are sent as
	// webhook.EncodeValue writes them, and not at all where they are empty.
	Type, Queue, Key string
	// Schedule is the name of the schedule whose run the job is, and ScheduledFor the slot
	// that it is for; neither is sent where it is empty.
	Schedule     string
	ScheduledFor time.Time
	// Epoch is that of the shard's owner.
	Epoch uint64
	// EnqueuedAt is not sent where it is zero.
	EnqueuedAt time.Time
	// Deadline ends the attempt, dial to the answer's last byte. The worker is
	// told it. Zero means DefaultTimeout from now.
	Deadline time.Time

	// ContentType is the payload's; empty means application/json.
	ContentType string
	// Headers are the job's own, as ValidateHeaders accepts them. One replaces
	// the worker's of the same name.
	Headers map[string]string
	// Body is the payload's exact bytes.
	Body []byte

	// CallbackURL and AttemptToken tell the worker where and by what it may report on
	// the attempt; they are not sent where they are empty. Async says that a 202 takes
	// the attempt over also without the header that says so. HeartbeatTimeout is how long
	// the worker may be silent then; it is sent in whole seconds with a CallbackURL, and
	// not at all where it is shorter than one.
	CallbackURL, AttemptToken string
	Async                     bool
	HeartbeatTimeout          time.Duration

	// Before, where set, is called once, when the connection stands and before
	// the first byte is written. With an error nothing is sent and the outcome
	// is job.OutcomeLost with the error's text: the caller has lost the right to
	// push.
	Before func() error
	// Trace, where set, is filled with what was sent and answered. It costs
	// allocations: it is for tests of a worker, not for every push.
	Trace *Trace
}

// appendHead appends the head of the request to out and the signed lines to
// lines, and returns both. The usual headers are written as HTTP/1.1 servers are
// used to see them, since not all of them match names without regard to case.
//
// token is the access token; empty where there is none.
func (r *Request) appendHead(out, lines []byte, userAgent, token string, now, deadline time.Time) (head, signed []byte, err error) {
	d := r.Destination
	out = append(out, d.start...)
	out = appendHeader(out, "User-Agent", userAgent)
	if token != "" {
		out = append(out, d.authHeader+": Bearer "...)
		out = append(append(out, token...), "\r\n"...)
	}
	// Without it any coding is acceptable (RFC 9110, 12.5.3), and answers are
	// kept as they come.
	out = append(out, "Accept-Encoding: identity\r\n"...)
	if !d.bodiless || len(r.Body) > 0 {
		if out, err = r.appendContent(out); err != nil {
			return out, lines, err
		}
	}
	if out, err = r.appendOwnHeaders(out); err != nil {
		return out, lines, err
	}
	out, lines = r.appendJob(out, lines, deadline)
	return r.appendSignatures(out, lines, now), lines, nil
}

// appendContent appends what the body is: its length and type.
func (r *Request) appendContent(out []byte) ([]byte, error) {
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, int64(len(r.Body)), 10)
	out = append(out, "\r\n"...)
	contentType := r.ContentType
	if contentType == "" {
		contentType = defaultContentType
	}
	if len(contentType) > MaxHeaderValue || !isFieldValue(contentType) {
		return out, errors.New("content type is not valid in a header")
	}
	return appendHeader(out, "Content-Type", contentType), nil
}

// appendOwnHeaders appends the job's headers and the worker's. The job's were
// validated when it was accepted; they are judged again, since a CR LF that got
// this far would let one job forge another's request.
func (r *Request) appendOwnHeaders(out []byte) ([]byte, error) {
	if len(r.Headers) == 0 {
		return append(out, r.Destination.static...), nil
	}
	for name, value := range r.Headers {
		if fault := headerFault(name, value); fault != "" {
			return out, fmt.Errorf("header %.64q %s", name, fault)
		}
		if strings.EqualFold(name, r.Destination.authHeader) {
			continue // who the worker is told to trust is not a job's to say
		}
		out = appendHeader(out, name, value)
	}
	return r.Destination.appendHeaders(out, r.Headers), nil
}

// appendJob appends the orchestrix-* headers, in the order of their names:
// lines is what is signed.
func (r *Request) appendJob(out, lines []byte, deadline time.Time) (head, signed []byte) {
	w := jobHeaders{out, lines}
	w.number(webhook.HeaderAttempt, uint64(max(r.Attempt, 0)))
	w.text(webhook.HeaderAttemptToken, r.AttemptToken)
	w.text(webhook.HeaderCallbackURL, r.CallbackURL)
	w.time(webhook.HeaderDeadline, deadline)
	w.time(webhook.HeaderEnqueuedAt, r.EnqueuedAt)
	w.number(webhook.HeaderEpoch, r.Epoch)
	if r.CallbackURL != "" {
		w.seconds(webhook.HeaderHeartbeatTimeout, r.HeartbeatTimeout)
	}
	w.number(webhook.HeaderIncarnation, uint64(max(r.Incarnation, 0)))
	w.text(webhook.HeaderJobType, r.Type)
	w.text(webhook.HeaderKey, r.Key)
	w.number(webhook.HeaderMaxAttempts, uint64(max(r.MaxAttempts, 0)))
	w.text(webhook.HeaderQueue, r.Queue)
	w.text(webhook.HeaderSchedule, r.Schedule)
	w.time(webhook.HeaderScheduledFor, r.ScheduledFor)
	return w.out, w.lines
}

// jobHeaders appends each header twice: to the head and to what is signed.
type jobHeaders struct{ out, lines []byte }

func (w *jobHeaders) number(name string, n uint64) {
	start := w.begin(name)
	w.lines = strconv.AppendUint(w.lines, n, 10)
	w.end(start)
}

// time writes milliseconds at most: that is what is stored.
func (w *jobHeaders) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	start := w.begin(name)
	w.lines = t.UTC().Truncate(time.Millisecond).AppendFormat(w.lines, time.RFC3339Nano)
	w.end(start)
}

// seconds writes a duration, rounded down.
func (w *jobHeaders) seconds(name string, d time.Duration) {
	if d < time.Second {
		return
	}
	start := w.begin(name)
	w.lines = append(strconv.AppendInt(w.lines, int64(d/time.Second), 10), 's')
	w.end(start)
}

func (w *jobHeaders) text(name, value string) {
	if value == "" {
		return
	}
	start := w.begin(name)
	w.lines = webhook.AppendEncoded(w.lines, value)
	w.end(start)
}

func (w *jobHeaders) begin(name string) (start int) {
	w.out = append(append(w.out, name...), ": "...)
	w.lines = append(append(w.lines, name...), ':')
	return len(w.lines)
}

func (w *jobHeaders) end(start int) {
	w.out = append(append(w.out, w.lines[start:]...), "\r\n"...)
	w.lines = append(w.lines, '\n')
}

func (r *Request) appendSignatures(out, lines []byte, now time.Time) []byte {
	id, timestamp, signer := r.messageID(), now.Unix(), r.Destination.signer
	out = appendHeader(out, webhook.HeaderID, id)
	out = append(out, webhook.HeaderTimestamp+": "...)
	out = strconv.AppendInt(out, timestamp, 10)
	out = append(out, "\r\n"+webhook.HeaderSignature+": "...)
	out = signer.AppendSignature(out, id, timestamp, r.Body)
	out = append(out, "\r\n"+webhook.HeaderOwnSignature+": "...)
	out = signer.AppendOwnSignature(out, id, timestamp, lines, r.Body)
	return append(out, "\r\n\r\n"...)
}

// messageID returns the webhook-id: a redriven job is another message.
func (r *Request) messageID() string {
	if r.Incarnation <= 0 {
		return r.JobID.String()
	}
	return strings.Join([]string{r.JobID.String(), "_r", strconv.Itoa(r.Incarnation)}, "")
}
