package control

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// templateFaults returns what is wrong with a schedule's job: what would be wrong with
// it as a new one, and what belongs to one job only. Headers that are Masked get the
// values of the schedule as it stands.
func (c *Control) templateFaults(n *NewJob, old *store.Schedule, now time.Time) []job.FieldError {
	if n.Queue == "" {
		n.Queue = DefaultQueue
	}
	n.Headers = canonical(n.Headers)
	if old != nil {
		n.Headers = unmask(n.Headers, old.Job.Headers)
	}
	f := faults(c.faults(n, now))
	f.masked(n.Headers)
	const never = "must not be given: each run of a schedule is a job of its own, made at its slot"
	for _, member := range []struct {
		name  string
		given bool
	}{
		{"delay", n.Delay != 0},
		{"run_at", !n.RunAt.IsZero()},
		{"expires_at", !n.ExpiresAt.IsZero()},
		{"idempotency_key", n.IdempotencyKey != ""},
		{"unique", n.Unique != nil},
	} {
		if member.given {
			f.add(member.name, never)
		}
	}
	for i := range f {
		f[i].Field = "job." + f[i].Field
	}
	return f
}

func (c *Control) checkTemplateSize(n *NewJob) error {
	most := min(c.o.MaxPayload, store.MaxSchedulePayload)
	if len(n.Payload) <= most {
		return nil
	}
	return &Error{
		Kind: TooLarge, Code: "payload_too_large", Detail: "the payload is too large for a schedule's job",
		Fields: []job.FieldError{badField("job."+n.Form.String(), "must be at most %d bytes long", most)},
	}
}

// template returns the job of a request without faults as what a schedule's runs are
// copies of, and its payload.
func (n *NewJob) template(now time.Time) (*job.Job, []byte) {
	j := n.job(now, 1)
	j.ID, j.CreatedAt = job.ID{}, time.Time{}
	unset(&j.Method, job.MethodPost)
	return j, n.payload()
}

// specOf returns the specification that would make a schedule what it is.
func specOf(s *store.Schedule) (ScheduleSpec, error) {
	d, _, err := readSchedule(s)
	if err != nil {
		return ScheduleSpec{}, err
	}
	j := s.Job
	n := NewJob{
		Queue: j.Queue, Type: j.Type, Key: j.Key, Priority: j.Priority.String(), ContentType: j.ContentType,
		Timeout: j.Timeout, Retry: j.Retry, Labels: maps.Clone(j.Labels), Headers: maps.Clone(j.Headers), URL: j.URL, Method: j.Method,
	}
	n.Retry.Delays, n.Retry.FatalStatuses = slices.Clone(j.Retry.Delays), slices.Clone(j.Retry.FatalStatuses)
	switch p := s.Payload; {
	case j.ContentType == "": // there is no content
	case string(p) == string(nullPayload) && j.Method != job.MethodDelete:
		n.ContentType = "" // it stands for an absent payload
	case job.IsJSON(j.ContentType) && json.Valid(p):
		n.Payload, n.Form = p, FormJSON
	case utf8.Valid(p):
		n.Payload, n.Form = p, FormText
	default:
		n.Payload, n.Form = p, FormBinary
	}
	return ScheduleSpec{Definition: d, Job: n}, nil
}
