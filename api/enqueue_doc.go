package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Receipt is the answer to an enqueue; enqueue.go writes it by hand.
type Receipt struct {
	ID         string    `json:"id"`
	Status     string    `json:"status" enum:"scheduled,pending,retrying,running,succeeded,dead,cancelled,expired"`
	Queue      string    `json:"queue"`
	Type       string    `json:"type"`
	Priority   string    `json:"priority" enum:"critical,high,normal,low"`
	CreatedAt  time.Time `json:"created_at"`
	RunAt      time.Time `json:"run_at,omitzero"`
	Existing   bool      `json:"existing,omitempty" doc:"The idempotency key, or the unique content, led to this earlier job."`
	Durability string    `json:"durability,omitempty" doc:"What an acknowledged job survives."`
}

// BatchResult is what became of one job of a batch.
type BatchResult struct {
	ID       string   `json:"id,omitempty"`
	Status   string   `json:"status,omitempty"`
	Existing bool     `json:"existing,omitempty"`
	Error    *Problem `json:"error,omitempty"`
}

// BatchReceipt is the answer to a batch; enqueue.go writes it by hand.
type BatchReceipt struct {
	Results    []BatchResult `json:"results" nullable:"false" doc:"In the order of the jobs."`
	Durability string        `json:"durability,omitempty"`
}

// describeEnqueue adds the two calls to the OpenAPI document that are handlers of
// their own.
func (a *api) describeEnqueue() {
	receipt, results := schemaOf[Receipt](a), schemaOf[BatchReceipt](a)
	a.component("RetryPolicy", retryObject.describe(false))
	a.describe(operation{
		method: "POST", path: "/v1/jobs", id: "enqueue-job", tag: jobsTag, body: bodyOf(&jobObject),
		summary: "Enqueue a job; the answer comes when it is durable", errors: []int{http.StatusConflict},
	}, map[int]*huma.Schema{http.StatusAccepted: receipt, http.StatusOK: receipt},
		&huma.Param{Name: idempotencyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Description: "Instead of idempotency_key."})
	a.describe(operation{
		method: "POST", path: "/v1/jobs/batch", id: "enqueue-batch", tag: jobsTag, body: bodyOf(&batchObject),
		summary: "Enqueue up to 10,000 jobs; one that is wrong does not stop the others",
	}, map[int]*huma.Schema{http.StatusAccepted: results})
}

func (a *api) describe(op operation, answers map[int]*huma.Schema, params ...*huma.Param) {
	o := &huma.Operation{
		Method: op.method, Path: op.path, OperationID: op.id, Tags: []string{op.tag}, Summary: op.summary, Parameters: params,
		RequestBody: &huma.RequestBody{Required: true, Content: a.content(op.body)}, Responses: map[string]*huma.Response{},
	}
	for status, schema := range answers {
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
	problem := map[string]*huma.MediaType{problemType: {Schema: schemaOf[Problem](a)}}
	refusals := []int{http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests}
	for _, status := range slices.Concat(op.errors, refusals, every) {
		o.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: problem}
	}
	a.huma.OpenAPI().AddOperation(o)
}
