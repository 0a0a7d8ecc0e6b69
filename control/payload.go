package control

import (
	"strings"

	"github.com/orchestrix/orchestrix/job"
)

// Form is how a client gave a job's payload.
type Form uint8

// The forms of a payload, each with a content type of its own where the client
// names none.
const (
	FormJSON   Form = iota // a JSON value, as it was written
	FormText               // a text's UTF-8 bytes
	FormBinary             // any bytes
)

// String returns the member of a request that holds a payload of the form.
func (f Form) String() string { return [...]string{"payload", "body", "body_base64"}[f] }

func (f Form) contentType() string {
	return [...]string{job.ContentTypeJSON, job.ContentTypeText, job.ContentTypeBinary}[f]
}

var nullPayload = []byte("null")

// payload returns the bytes that are stored and sent.
func (n *NewJob) payload() []byte {
	switch {
	case n.Payload != nil:
		return n.Payload
	case n.bodiless():
		return []byte{}
	}
	return nullPayload
}

// bodiless reports whether the request of the job has no content: no payload
// stands for none where the method does without, and for null elsewhere.
func (n *NewJob) bodiless() bool {
	return n.Payload == nil && (n.Method == job.MethodGet || n.Method == job.MethodDelete)
}

// contentType returns the content type that is stored; none without content.
func (n *NewJob) contentType() string {
	switch {
	case n.ContentType != "":
		return n.ContentType
	case n.bodiless():
		return ""
	}
	return n.Form.contentType()
}

// checkContentType wants JSON to be called JSON: another type is for bytes that
// are given as such.
func (n *NewJob) checkContentType() string {
	switch {
	case n.ContentType == "":
		return ""
	case n.bodiless():
		return "is the payload's, of which there is none"
	case n.Form == FormJSON && !job.IsJSON(n.ContentType):
		return "must be application/json or a media type that ends in +json; give content of another type as body or body_base64"
	}
	return job.CheckContentType(n.ContentType)
}

// checkMethod judges the method of an ad-hoc job.
func (n *NewJob) checkMethod() string {
	switch {
	case n.Method == "":
		return ""
	case !job.ValidMethod(n.Method):
		return "must be " + strings.Join(job.Methods(), ", ")
	case n.URL == "":
		return "is for jobs with a url: a worker is always sent POST"
	}
	return ""
}
