package api

import (
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/orchestrix/orchestrix/api/jsonscan"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// Job is a job as it is shown.
type Job struct {
	ID             string            `json:"id"`
	Queue          string            `json:"queue"`
	Type           string            `json:"type"`
	Status         string            `json:"status" enum:"scheduled,pending,retrying,running,succeeded,dead,cancelled,expired"`
	Reason         string            `json:"reason,omitempty" doc:"Why it is dead or cancelled, or why it last had to wait."`
	Key            string            `json:"key,omitempty"`
	Priority       string            `json:"priority" enum:"critical,high,normal,low"`
	Labels         map[string]string `json:"labels,omitempty"`
	Headers        map[string]string `json:"headers,omitempty" doc:"Values that may be credentials are shown as [redacted]."`
	URL            string            `json:"url,omitempty"`
	Method         string            `json:"method,omitempty" enum:"GET,POST,PUT,PATCH,DELETE" doc:"How it is sent to its url."`
	ContentType    string            `json:"content_type,omitempty"`
	PayloadSize    int               `json:"payload_size" doc:"In bytes."`
	Timeout        job.Duration      `json:"timeout,omitempty"`
	Retry          *job.Policy       `json:"retry,omitempty" doc:"What the job itself sets; the rest falls through to its queue and the server."`
	IdempotencyKey string            `json:"idempotency_key,omitempty"`
	Schedule       string            `json:"schedule,omitempty" doc:"The schedule that it is a run of."`
	ScheduledFor   time.Time         `json:"scheduled_for,omitzero" doc:"The slot that it is the run for: the nominal time."`
	Unique         *job.Unique       `json:"unique,omitempty" doc:"As what it is unique, and for how long."`
	ReplacedBy     string            `json:"replaced_by,omitempty" doc:"The job that has taken its place, where its reason is replaced."`

	Attempt     int `json:"attempt" doc:"How many attempts have ended."`
	Failures    int `json:"failures,omitempty" doc:"How many attempts of this incarnation count against max_attempts."`
	Incarnation int `json:"incarnation,omitempty" doc:"How often it was run again after it had ended."`

	CreatedAt     time.Time `json:"created_at"`
	RunAt         time.Time `json:"run_at,omitzero"`
	ExpiresAt     time.Time `json:"expires_at,omitzero"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero" doc:"Before this time it is not pushed; absent where it is ready."`
	FinishedAt    time.Time `json:"finished_at,omitzero"`

	// Accepted, HeartbeatAt and Deadline are of a running attempt that its worker has
	// taken over.
	Accepted    bool      `json:"accepted,omitempty" doc:"The worker has taken the running attempt over, and reports its end. Not in a list."`
	HeartbeatAt time.Time `json:"heartbeat_at,omitzero" doc:"When that worker was last heard of. Not in a list."`
	Deadline    time.Time `json:"deadline,omitzero" doc:"When that attempt has to have ended. Not in a list."`
	Progress    *Progress `json:"progress,omitempty" doc:"How far a worker has said it to be. Not in a list."`

	Attempts []Attempt `json:"attempts,omitempty" doc:"The newest attempts that have ended, at most 50, the oldest first. Not in a list."`
	// One of these holds the payload.
	Payload    json.RawMessage `json:"payload,omitempty" doc:"Where it is JSON, but for white space; GET /v1/jobs/{id}/payload has the exact bytes. Not in a list."`
	Body       string          `json:"body,omitempty" doc:"The payload where it is not JSON but text. Not in a list."`
	BodyBase64 []byte          `json:"body_base64,omitempty" doc:"The payload where it is neither. Not in a list."`
	Result     json.RawMessage `json:"result,omitempty" doc:"The last attempt's answer: as JSON where it is, else as text. Not in a list."`
	// ResultType and ResultEncoding say how to read Result.
	ResultType     string `json:"result_type,omitempty" doc:"The answer's content type."`
	ResultEncoding string `json:"result_encoding,omitempty" enum:"base64" doc:"base64: the result is neither JSON nor UTF-8, and encoded."`
}

// Progress is how far a job is, as its worker has said.
type Progress struct {
	Percent float64   `json:"percent" minimum:"0" maximum:"100"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt" doc:"The attempt that has said so."`
}

func viewProgress(p control.Progress) *Progress {
	if p.At.IsZero() {
		return nil
	}
	return &Progress{Percent: p.Percent, Message: p.Message, At: p.At, Attempt: p.Attempt}
}

// Attempt is one push of a job and how it ended.
type Attempt struct {
	Number         int          `json:"number"`
	Incarnation    int          `json:"incarnation,omitempty"`
	Worker         string       `json:"worker,omitempty"`
	URL            string       `json:"url,omitempty"`
	StartedAt      time.Time    `json:"started_at"`
	Duration       job.Duration `json:"duration"`
	Outcome        string       `json:"outcome" enum:"succeeded,failed,timed_out,cancelled,throttled,lost"`
	StatusCode     int          `json:"status_code,omitempty"`
	Reason         string       `json:"reason,omitempty"`
	Error          string       `json:"error,omitempty"`
	Answer         string       `json:"answer,omitempty" doc:"The beginning of the answer's body, at most 1 KiB."`
	AnswerSize     int          `json:"answer_size,omitempty" doc:"How many bytes of the answer were read."`
	AnswerType     string       `json:"answer_type,omitempty"`
	AnswerEncoding string       `json:"answer_encoding,omitempty" enum:"base64"`
}

// viewListed shows a job as it stands in a list.
func viewListed(j *control.Job) Job {
	v := Job{
		ID: j.ID.String(), Queue: j.Queue, Type: j.Type, Status: j.Shown, Reason: string(j.Reason), Key: j.Key,
		Priority: j.Priority.String(), Labels: j.Labels, Headers: control.MaskHeaders(j.Headers), URL: j.URL, Method: shownMethod(j.Job),
		ContentType: j.ContentType, PayloadSize: j.PayloadSize, Timeout: j.Timeout, IdempotencyKey: j.IdempotencyKey,
		Schedule: j.Schedule, ScheduledFor: j.ScheduledFor,
		Attempt: j.Attempt, Failures: j.Failures, Incarnation: j.Incarnation,
		CreatedAt: j.CreatedAt, RunAt: j.RunAt, ExpiresAt: j.ExpiresAt, FinishedAt: j.FinishedAt,
	}
	if !j.Retry.IsZero() {
		v.Retry = &j.Retry
	}
	if j.Status == job.Waiting {
		v.NextAttemptAt = j.Due
	}
	if v.Unique = j.Unique; v.Unique != nil && !v.Unique.ReplacedBy.IsZero() {
		v.ReplacedBy = v.Unique.ReplacedBy.String()
	}
	return v
}

// viewJob shows all of a job.
func viewJob(j *control.Job) Job {
	v := viewListed(j)
	v.Payload, v.Body, v.BodyBase64 = viewPayload(j.Payload, j.ContentType)
	v.Result, v.ResultEncoding = viewBody(j.Result, j.ResultType)
	if v.Result != nil {
		v.ResultType = j.ResultType
	}
	v.Progress = viewProgress(j.Progress)
	if j.Accepted != nil {
		v.Accepted, v.HeartbeatAt, v.Deadline = true, j.Accepted.Beat, j.Accepted.Deadline
	}
	for i := range j.Attempts {
		v.Attempts = append(v.Attempts, viewAttempt(&j.Attempts[i]))
	}
	return v
}

func viewAttempt(t *job.Attempt) Attempt {
	v := Attempt{
		Number: t.Number, Incarnation: t.Incarnation, Worker: t.Worker, URL: t.URL, StartedAt: t.StartedAt,
		Duration: job.Duration(t.Duration), Outcome: t.Outcome.String(), StatusCode: t.StatusCode,
		Reason: string(t.Reason), Error: t.Error, AnswerSize: t.AnswerSize, AnswerType: t.AnswerType,
	}
	v.Answer, v.AnswerEncoding = readable(t.Answer, t.AnswerSize > len(t.Answer))
	return v
}

// viewBody shows an answer: as JSON where it says so and is, else as text.
func viewBody(body []byte, contentType string) (shown json.RawMessage, encoding string) {
	if len(body) == 0 {
		return nil, ""
	}
	if value := asJSON(body, contentType); value != nil {
		return value, ""
	}
	text, encoding := readable(body, false)
	shown, err := json.Marshal(text)
	if err != nil { // it is a string
		panic(err)
	}
	return shown, encoding
}

// asJSON returns the JSON value of a body that is called JSON, nil where it is not
// JSON.
func asJSON(body []byte, contentType string) json.RawMessage {
	if !job.IsJSON(contentType) {
		return nil
	}
	s := jsonscan.New(body)
	value := s.Skip()
	if s.End() != nil {
		return nil
	}
	return value
}

// viewPayload shows a payload in the form in which it could be enqueued again.
func viewPayload(payload []byte, contentType string) (value json.RawMessage, text string, data []byte) {
	if value = asJSON(payload, contentType); value != nil {
		return value, "", nil
	}
	if utf8.Valid(payload) {
		return nil, string(payload), nil
	}
	return nil, "", payload
}

// shownMethod is the method of a job with a destination of its own.
func shownMethod(j *job.Job) string {
	if j.URL != "" && j.Method == "" {
		return job.MethodPost
	}
	return j.Method
}

// readable returns bytes as text, in base64 where they are not UTF-8. The cut end
// of a longer text may be half a character, which is left out.
func readable(b []byte, cut bool) (text, encoding string) {
	if cut {
		for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
			if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) && !utf8.FullRune(tail) {
				b = b[:len(b)-i]
				break
			}
		}
	}
	if utf8.Valid(b) {
		return string(b), ""
	}
	return base64.StdEncoding.EncodeToString(b), "base64"
}
