package api

import (
	"encoding/json"
	"slices"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// ScheduleJob is what the runs of a schedule are copies of.
type ScheduleJob struct {
	Queue       string            `json:"queue"`
	Type        string            `json:"type"`
	Key         string            `json:"key,omitempty"`
	Priority    string            `json:"priority" enum:"critical,high,normal,low"`
	Labels      map[string]string `json:"labels,omitempty"`
	Headers     map[string]string `json:"headers,omitempty" doc:"Values that may be credentials are shown as [redacted]."`
	URL         string            `json:"url,omitempty"`
	Method      string            `json:"method,omitempty" enum:"GET,POST,PUT,PATCH,DELETE"`
	ContentType string            `json:"content_type,omitempty"`
	PayloadSize int               `json:"payload_size" doc:"In bytes."`
	Timeout     job.Duration      `json:"timeout,omitempty"`
	Retry       *job.Policy       `json:"retry,omitempty"`
	// One of these holds the payload.
	Payload    json.RawMessage `json:"payload,omitempty" doc:"Where it is JSON. Not in a list."`
	Body       string          `json:"body,omitempty" doc:"The payload where it is not JSON but text. Not in a list."`
	BodyBase64 []byte          `json:"body_base64,omitempty" doc:"The payload where it is neither. Not in a list."`
}

func viewTemplate(j *job.Job) ScheduleJob {
	v := ScheduleJob{
		Queue: j.Queue, Type: j.Type, Key: j.Key, Priority: j.Priority.String(), Labels: j.Labels, Headers: j.Headers,
		URL: j.URL, Method: shownMethod(j), ContentType: j.ContentType, PayloadSize: j.PayloadSize, Timeout: j.Timeout,
	}
	if !j.Retry.IsZero() {
		v.Retry = &j.Retry
	}
	return v
}

// jobTemplate is a schedule's job while it is read.
type jobTemplate struct {
	control.NewJob
	// given says that its payload was there, typed that its content type was: what a
	// patch does not name stays, but a new payload does not keep the type of the old one.
	given, typed bool
}

// templateObject is the table of a schedule's job: that of a new job, without what
// belongs to one job only.
var templateObject = object[jobTemplate]{
	name: "ScheduleJob", description: "The job that is enqueued at each slot; its payload is at most 256 KiB.",
	defaults: func() jobTemplate { return jobTemplate{} },
	fields:   templateFields(),
}

func templateFields() (fields []field[jobTemplate]) {
	once := []string{"delay", "run_at", "expires_at", "idempotency_key", "unique"}
	for _, f := range jobObject.fields {
		if slices.Contains(once, f.name) {
			continue
		}
		t := field[jobTemplate]{name: f.name, schema: f.schema, required: f.required}
		switch f.name {
		case control.FormJSON.String(), control.FormText.String(), control.FormBinary.String():
			t.read, t.reset = contentOf(f)
		default:
			t.read = func(r *reader, into *jobTemplate) {
				into.typed = into.typed || f.name == "content_type"
				f.read(r, &into.NewJob)
			}
			t.reset = func(into, defaults *jobTemplate) { f.reset(&into.NewJob, &defaults.NewJob) }
		}
		fields = append(fields, t)
	}
	return fields
}

// contentOf reads a member that holds the payload into a template, which may have one
// from before.
func contentOf(f field[control.NewJob]) (read func(*reader, *jobTemplate), reset func(into, defaults *jobTemplate)) {
	forget := func(into *jobTemplate) {
		into.Payload, into.Form = nil, control.FormJSON
		if !into.typed {
			into.ContentType = ""
		}
	}
	read = func(r *reader, into *jobTemplate) {
		if !into.given {
			forget(into)
		}
		into.given = true
		f.read(r, &into.NewJob)
	}
	reset = func(into, _ *jobTemplate) {
		if !into.given && into.Form.String() == f.name {
			forget(into)
		}
	}
	return read, reset
}
