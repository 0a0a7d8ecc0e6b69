package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

const jobsTag = "jobs"

// JobPath is the path of a call on one job.
type JobPath struct {
	ID string `path:"id" doc:"The job's id." example:"job_01kwersrg009d020g30g2gc1r8"`
}

// parse returns the id. A text that is none names no job.
func (p *JobPath) parse() (job.ID, error) {
	id, err := job.ParseID(p.ID)
	if err != nil {
		return id, newProblem(http.StatusNotFound, "not_found", "there is no such job: "+err.Error(), FieldProblem{"id", err.Error()})
	}
	return id, nil
}

type jobOutput struct {
	Status int
	Body   Job
}

type getJobInput struct {
	JobPath
	Wait    string `query:"wait" doc:"Wait for the job to end, at most this long and at most 60s, such as 30s."`
	Payload bool   `query:"payload" default:"true" doc:"Whether the answer holds the payload."`
}

type listJobsInput struct {
	PageParams
	Status        string    `query:"status" enum:"scheduled,pending,retrying,running,succeeded,dead,cancelled,expired"`
	Queue         string    `query:"queue"`
	Type          string    `query:"type"`
	Key           string    `query:"key"`
	Label         []string  `query:"label,explode" doc:"key:value, may be repeated: a job must have all of them."`
	CreatedAfter  time.Time `query:"created_after" doc:"Jobs made at or after this time."`
	CreatedBefore time.Time `query:"created_before" doc:"Jobs made before this time."`
}

func (a *api) jobRoutes() {
	register(a, operation{method: "GET", path: "/v1/jobs", id: "list-jobs", tag: jobsTag, summary: "List jobs, newest first"}, a.listJobs)
	register(a, operation{
		method: "GET", path: "/v1/jobs/{id}", id: "get-job", tag: jobsTag, errors: []int{404},
		summary: "Read a job with its attempts; with wait, when it has ended",
	}, a.getJob)
	a.payloadRoute()
	a.explainRoute()
	a.logRoute()
	a.commandRoute("cancel", "Cancel a job that has not ended; a push under way is aborted", a.control.Cancel)
	a.commandRoute("retry", "Run a job again that has ended", a.control.Retry)
	a.commandRoute("run-now", "Run a job at once that is due later", a.control.RunNow)
	register(a, operation{
		method: "DELETE", path: "/v1/jobs/{id}", id: "delete-job", tag: jobsTag, status: 204, errors: []int{404, 409},
		summary: "Remove a job that has ended; 202 where its owner has yet to",
	}, a.deleteJob)
}

func (a *api) getJob(ctx context.Context, in *getJobInput) (*jobOutput, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, err
	}
	j, err := a.control.GetJob(ctx, id, wait, in.Payload)
	if err != nil {
		return nil, err
	}
	return &jobOutput{Status: http.StatusOK, Body: viewJob(j)}, nil
}

func (a *api) listJobs(ctx context.Context, in *listJobsInput) (*listOutput[Job], error) {
	labels, err := parseLabels(in.Label)
	if err != nil {
		return nil, err
	}
	list, err := a.control.ListJobs(ctx, control.JobQuery{
		Status: in.Status, Queue: in.Queue, Type: in.Type, Key: in.Key, Labels: labels,
		CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore, Cursor: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return newList(list.Jobs, list.Cursor, viewListed), nil
}

func parseLabels(texts []string) (map[string]string, error) {
	labels := make(map[string]string, len(texts))
	for _, text := range texts {
		key, value, ok := strings.Cut(text, ":")
		if was, twice := labels[key]; !ok || (twice && was != value) {
			return nil, faultsProblem([]job.FieldError{{Field: "label", Message: "must be key:value, each key once"}})
		}
		labels[key] = value
	}
	return labels, nil
}

// commandRoute adds a verb. It answers 200 with the job where it was carried out,
// and 202 with the job as it stands where its owner has yet to.
func (a *api) commandRoute(verb, summary string, do func(context.Context, job.ID) (control.Commanded, error)) {
	op := operation{method: "POST", path: "/v1/jobs/{id}/" + verb, id: verb + "-job", tag: jobsTag, errors: []int{404, 409}, summary: summary}
	register(a, op, func(ctx context.Context, in *JobPath) (*jobOutput, error) {
		id, err := in.parse()
		if err != nil {
			return nil, err
		}
		done, err := do(ctx, id)
		if err != nil {
			return nil, err
		}
		return &jobOutput{Status: commandStatus(done, http.StatusOK), Body: viewJob(done.Job)}, nil
	})
	a.alsoAccepted("/v1/jobs/{id}/"+verb, "POST", schemaOf[Job](a))
}

func commandStatus(done control.Commanded, status int) int {
	if done.Requested {
		return http.StatusAccepted
	}
	return status
}

type deleteOutput struct{ Status int }

func (a *api) deleteJob(ctx context.Context, in *JobPath) (*deleteOutput, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	done, err := a.control.Delete(ctx, id)
	if err != nil {
		return nil, err
	}
	return &deleteOutput{commandStatus(done, http.StatusNoContent)}, nil
}

// alsoAccepted says that a call may answer 202 too.
func (a *api) alsoAccepted(path, method string, schema *huma.Schema) {
	item := a.huma.OpenAPI().Paths[path]
	op := map[string]*huma.Operation{"POST": item.Post, "DELETE": item.Delete}[method]
	response := &huma.Response{Description: "Requested: the shard's owner has yet to carry it out."}
	if schema != nil {
		response.Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
	}
	op.Responses["202"] = response
}

// batchSchema is written out, since a batch's body is not read into one struct.
func batchSchema() *huma.Schema {
	most := control.MaxBatch
	return &huma.Schema{
		Type: huma.TypeArray, MaxItems: &most, Items: &huma.Schema{Ref: "#/components/schemas/NewJob"},
		Description: fmt.Sprintf("At most %d jobs.", most),
	}
}
