package api

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// namePattern is job.ValidName, for the OpenAPI document.
const namePattern = `^[a-z0-9][a-z0-9._-]{0,127}$`

func doc(text string) *huma.Schema { return &huma.Schema{Description: text} }

func bounded(text string, least, most float64) *huma.Schema {
	return &huma.Schema{Description: text, Minimum: &least, Maximum: &most}
}

func choice(text string, words ...any) *huma.Schema {
	return &huma.Schema{Description: text, Enum: words}
}

func named(text string) *huma.Schema { return &huma.Schema{Description: text, Pattern: namePattern} }

var retryObject = object[job.Policy]{
	name: "RetryPolicy",
	description: "How often and when a job is retried. A field that is absent falls through: " +
		"from the job to its queue to the server.",
	defaults: func() job.Policy { return job.Policy{} },
	fields: []field[job.Policy]{
		integer("max_attempts", func(p *job.Policy) *int { return &p.MaxAttempts },
			fmt.Sprintf("must be from 1 to %d", job.MaxPolicyAttempts),
			bounded("How many attempts may fail.", 1, job.MaxPolicyAttempts)),
		duration("max_duration", func(p *job.Policy) *job.Duration { return &p.MaxDuration }, "must be from 1s to 365d",
			doc("The longest time from the first attempt's start to the last one's, 1s to 365d.")),
		text("backoff", func(p *job.Policy) *job.Backoff { return &p.Backoff }, "must be exponential, linear, fixed or list",
			choice("The shape of the delays.", job.BackoffExponential, job.BackoffLinear, job.BackoffFixed, job.BackoffList)),
		duration("initial_delay", func(p *job.Policy) *job.Duration { return &p.InitialDelay }, "must be from 1ms to 7d",
			doc("The first delay, 1ms to 7d.")),
		number("factor", func(p *job.Policy) *float64 { return &p.Factor }, "must be from 1 to 100",
			bounded("What exponential back-off multiplies by.", 1, job.MaxPolicyFactor)),
		duration("max_delay", func(p *job.Policy) *job.Duration { return &p.MaxDelay }, "must be from 1ms to 7d",
			doc("The longest delay, 1ms to 7d.")),
		text("jitter", func(p *job.Policy) *job.Jitter { return &p.Jitter }, "must be full, equal or none",
			choice("How a delay is spread.", job.JitterFull, job.JitterEqual, job.JitterNone)),
		list("delays", func(p *job.Policy) *[]job.Duration { return &p.Delays }, (*reader).duration,
			&huma.Schema{Type: huma.TypeString}, doc("The delays where backoff is list, at most 100, each at most 7d; the last one is repeated.")),
		list("fatal_statuses", func(p *job.Policy) *[]int { return &p.FatalStatuses }, (*reader).integer,
			&huma.Schema{Type: huma.TypeInteger}, doc("The HTTP statuses, 300 to 599, that kill a job at once; at most 100.")),
	},
}

var uniqueObject = object[job.Unique]{
	name: "Unique",
	description: "Asks that the job be the only one of its queue with its content, for as long as it holds the unique lock on it. " +
		"An idempotency key is looked at first.",
	fields: []field[job.Unique]{
		list("by", func(u *job.Unique) *[]job.UniquePart { return &u.By }, uniquePart,
			&huma.Schema{Type: huma.TypeString, Enum: []any{job.PartType, job.PartKey, job.PartPayload}},
			doc("What makes up the content; all three where it is absent. An absent key counts as an empty one; payload is its bytes as they are stored, with their content type.")),
		text("until", func(u *job.Unique) *job.UniqueUntil { return &u.Until }, "must be one of started, terminal, ttl",
			choice("When the lock ends: when the first attempt starts, when the job has ended (where it is absent), or some time after the enqueue, whatever becomes of the job. The deletion of the job ends it too.", job.UntilStarted, job.UntilTerminal, job.UntilTTL)),
		duration("ttl", func(u *job.Unique) *job.Duration { return &u.TTL }, ttlMessage,
			doc("How long it is held where until is ttl, 1s to 365d.")),
		text("on_conflict", func(u *job.Unique) *job.UniqueConflict { return &u.OnConflict }, "must be one of return, reject, replace",
			choice("What happens where another job holds the lock: that one is answered (where it is absent), or the enqueue is refused with 409, or it is cancelled and the new one stored in its place, as long as no attempt of it has begun, else 409.", job.ConflictReturn, job.ConflictReject, job.ConflictReplace)),
	},
}

var ttlMessage = "must be from " + job.MinUniqueTTL.String() + " to " + job.MaxUniqueTTL.String()

func uniquePart(r *reader) (job.UniquePart, bool) {
	part, ok := r.word()
	return job.UniquePart(part), ok
}

var timeoutMessage = "must be from " + control.MinTimeout.String() + " to " + control.MaxTimeout.String()

var jobObject = object[control.NewJob]{
	name:        "NewJob",
	description: "A job to be enqueued.",
	fields: []field[control.NewJob]{
		word("queue", func(n *control.NewJob) *string { return &n.Queue }, job.CheckName(""), named(`Where the job waits; "default" where it is absent.`)),
		word("type", func(n *control.NewJob) *string { return &n.Type }, job.CheckType(""),
			&huma.Schema{Description: "What the worker is to do.", Pattern: `^[A-Za-z0-9._/:-]{1,128}$`}).mandatory(),
		content("payload", control.FormJSON, func(r *reader) ([]byte, bool) { return bytes.Clone(r.scan.Skip()), true },
			doc("What the worker receives as the request's body, byte by byte; null where it is absent. Any JSON value. At most one of payload, body and body_base64 may be given.")),
		content("body", control.FormText, (*reader).ownText,
			doc("A text that is sent as its UTF-8 bytes, instead of payload.")),
		content("body_base64", control.FormBinary, (*reader).base64,
			&huma.Schema{Description: "Any bytes, instead of payload, in base64 (RFC 4648, section 4).", ContentEncoding: "base64"}),
		word("content_type", func(n *control.NewJob) *string { return &n.ContentType }, job.CheckContentType(""),
			doc("The media type of what is sent; where it is absent, application/json for a payload, text/plain; charset=utf-8 for a body, application/octet-stream for a body_base64. That of a payload must be application/json or end in +json. At most 256 bytes.")),
		text("key", func(n *control.NewJob) *string { return &n.Key }, job.CheckKey(""),
			doc("A label within the queue, such as a tenant or an order: no key starves another. At most 256 bytes.")),
		word("priority", func(n *control.NewJob) *string { return &n.Priority }, "must be critical, high, normal or low",
			choice("normal where it is absent.", "critical", "high", "normal", "low")),
		duration("delay", func(n *control.NewJob) *job.Duration { return &n.Delay }, "",
			doc("How long to wait before the first attempt, at most 3650d. Not together with run_at.")),
		instant("run_at", func(n *control.NewJob) *time.Time { return &n.RunAt }, doc("When the first attempt may start. Not together with delay.")),
		instant("expires_at", func(n *control.NewJob) *time.Time { return &n.ExpiresAt }, doc("No attempt starts at or after this time.")),
		duration("timeout", func(n *control.NewJob) *job.Duration { return &n.Timeout }, timeoutMessage,
			doc("How long one attempt may take, 1s to 1h.")),
		nested("retry", func(n *control.NewJob) *job.Policy { return &n.Retry }, &retryObject),
		text("idempotency_key", func(n *control.NewJob) *string { return &n.IdempotencyKey }, job.CheckIdempotencyKey(""),
			doc("A second job of the queue with this key is not stored; the first one is answered. At most 256 bytes.")),
		optionalNested("unique", func(n *control.NewJob) **job.Unique { return &n.Unique }, &uniqueObject),
		texts("labels", func(n *control.NewJob) *map[string]string { return &n.Labels }, doc("At most 32 labels to find the job by.")),
		headers("headers", func(n *control.NewJob) *map[string]string { return &n.Headers }, doc("Headers that are added to the request.")),
		text("url", func(n *control.NewJob) *string { return &n.URL }, "must not be empty",
			doc("Sends the job there, signed with the server's own keys, rather than to a worker of its queue.")),
		word("method", func(n *control.NewJob) *string { return &n.Method }, methodMessage,
			choice("How a job with a url is sent, POST where it is absent. GET takes no payload, and neither GET nor DELETE sends one that is absent.", methods()...)),
	},
}

var methodMessage = "must be " + strings.Join(job.Methods(), ", ")

func methods() []any {
	var out []any
	for _, m := range job.Methods() {
		out = append(out, m)
	}
	return out
}

// content is a member that holds the job's payload in one of its forms, of which
// a job has one at most. What it reads is in memory of its own: the request's
// body is read into a buffer that is used again.
func content(name string, form control.Form, read func(*reader) ([]byte, bool), s *huma.Schema) field[control.NewJob] {
	if form != control.FormJSON {
		s.Type = huma.TypeString
	}
	return field[control.NewJob]{
		name: name, schema: s,
		read: func(r *reader, into *control.NewJob) {
			data, ok := read(r)
			switch {
			case !ok:
			case into.Payload != nil:
				r.bad("must not be given together with " + into.Form.String())
			default:
				into.Payload, into.Form = data, form
			}
		},
	}
}
