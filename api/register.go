package api

import (
	"context"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// operation is what the OpenAPI document says of a call.
type operation struct {
	method, path, id, tag, summary string
	// status is that of success.
	status int
	// errors are the statuses of failure beside those that every call has.
	errors []int
	body   *bodySchema
}

// bodySchema is how a request's body is described.
type bodySchema struct {
	name     string
	schema   *huma.Schema
	patch    bool
	optional bool
}

func bodyOf[T any](o *object[T]) *bodySchema {
	return &bodySchema{name: o.name, schema: o.describe(false)}
}

func patchOf[T any](o *object[T]) *bodySchema {
	return &bodySchema{name: o.name + "Patch", schema: o.describe(true), patch: true}
}

func optional[T any](o *object[T]) *bodySchema {
	return &bodySchema{name: o.name, schema: o.describe(false), optional: true}
}

// BodyInput is the body of a call that has one. (Huma sees only what is
// exported; so it is with the other parameters.)
type BodyInput struct {
	RawBody []byte `contentType:"application/json"`
}

// none is the input of a call without parameters.
type none struct{}

const (
	bodyReadTimeout = 30 * time.Second
	maxBody         = 1 << 20
)

// every are the statuses that any call of /v1 may answer with.
var every = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity,
	http.StatusInternalServerError, http.StatusServiceUnavailable,
}

// register adds a call to the router and to the OpenAPI document.
func register[I, O any](a *api, op operation, handle func(context.Context, *I) (*O, error)) {
	h := huma.Operation{
		Method: op.method, Path: op.path, OperationID: op.id, Tags: []string{op.tag}, Summary: op.summary,
		DefaultStatus: op.status, Errors: append(op.errors, every...),
		MaxBodyBytes: maxBody, BodyReadTimeout: bodyReadTimeout, SkipValidateBody: true,
	}
	var body *huma.RequestBody
	if op.body != nil {
		h.Errors = append(h.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
		body = &huma.RequestBody{}
		h.RequestBody = body
	}
	huma.Register(a.huma, h, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.refuse(ctx, requestID(ctx), err)
		}
		return out, nil
	})
	if body != nil { // huma has described it as bytes
		body.Content, body.Required = a.content(op.body), !op.body.optional
	}
}

// content describes a body under its media types.
func (a *api) content(b *bodySchema) map[string]*huma.MediaType {
	media := &huma.MediaType{Schema: a.component(b.name, b.schema)}
	content := map[string]*huma.MediaType{"application/json": media}
	if b.patch {
		content["application/merge-patch+json"] = media
	}
	return content
}

// component adds a schema to the document and returns a reference to it.
func (a *api) component(name string, s *huma.Schema) *huma.Schema {
	a.huma.OpenAPI().Components.Schemas.Map()[name] = s
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// schemaOf returns a reference to the schema of a Go type.
func schemaOf[T any](a *api) *huma.Schema {
	t := reflect.TypeFor[T]()
	return a.huma.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

// decode reads a body by its table into a value that holds the defaults, or what
// stood before. A body that may be left out and is changes nothing.
func decode[T any](o *object[T], body []byte, patch bool, into *T) error {
	var r reader
	r.reset(body, patch)
	o.read(&r, into)
	if p := r.end(); p != nil {
		return p
	}
	if len(r.faults) > 0 {
		return faultsProblem(r.faults)
	}
	return nil
}

func decodeOptional[T any](o *object[T], body []byte, into *T) error {
	if len(body) == 0 {
		return nil
	}
	return decode(o, body, false, into)
}

// Conditions are the headers of a conditional change.
type Conditions struct {
	IfMatch     string `header:"If-Match" doc:"The ETag of the version that is to be changed, or *."`
	IfNoneMatch string `header:"If-None-Match" doc:"*: only where there is none yet."`
}

func (c *Conditions) match() (control.Match, error) {
	var m control.Match
	switch c.IfNoneMatch {
	case "":
	case "*":
		m.Absent = true
	default:
		return m, conditionProblem("if-none-match", "must be *")
	}
	switch c.IfMatch {
	case "":
		return m, nil
	case "*":
		m.Exists = true
		return m, nil
	}
	version, err := parseETag(c.IfMatch)
	if err != nil || m.Absent {
		return m, conditionProblem("if-match", "must be an ETag of this resource, or *, and not together with If-None-Match")
	}
	m.Version = version
	return m, nil
}

func conditionProblem(field, message string) error {
	return faultsProblem([]job.FieldError{{Field: field, Message: message}})
}

func etag(version uint64) string {
	if version == 0 {
		return ""
	}
	return `"` + strconv.FormatUint(version, 10) + `"`
}

// parseETag reads one strong ETag. A version it cannot be, since it is no number,
// is one that never stood.
func parseETag(text string) (uint64, error) {
	unquoted, err := strconv.Unquote(text)
	if err != nil {
		return 0, err
	}
	if version, err := strconv.ParseUint(unquoted, 10, 64); err == nil && version != 0 {
		return version, nil
	}
	return math.MaxUint64, nil
}

// PageParams are the parameters of a list.
type PageParams struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"How many items at most; 100 where it is absent."`
	Cursor string `query:"cursor" maxLength:"1000" doc:"The next_cursor of the page before."`
}

// listBody is a page of a list.
type listBody[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor" doc:"Leads to the next page; empty after the last one. A page may be short and have a next one."`
}

// listOutput is the answer of a list.
type listOutput[T any] struct{ Body listBody[T] }

func newList[T, U any](items []U, cursor string, view func(*U) T) *listOutput[T] {
	out := &listOutput[T]{listBody[T]{Items: make([]T, len(items)), NextCursor: cursor}}
	for i := range items {
		out.Body.Items[i] = view(&items[i])
	}
	return out
}
