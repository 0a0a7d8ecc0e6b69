package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orchestrix/orchestrix/job"
)

// payloadOutput is a job's payload, as the worker receives it. It is a stranger's
// content under the server's own name: no browser may render it there.
type payloadOutput struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Sniffing    string `header:"X-Content-Type-Options"`
	Policy      string `header:"Content-Security-Policy"`
	Body        []byte
}

func (a *api) payloadRoute() {
	const path = "/v1/jobs/{id}/payload"
	register(a, operation{
		method: "GET", path: path, id: "get-job-payload", tag: jobsTag, errors: []int{404},
		summary: "Read a job's payload: its exact bytes, under its content type",
	}, a.getPayload)
	answer := a.huma.OpenAPI().Paths[path].Get.Responses["200"]
	answer.Description = "The payload, under the content type that the job has; application/octet-stream where it has none."
	answer.Content = map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{}}}
}

func (a *api) getPayload(ctx context.Context, in *JobPath) (*payloadOutput, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	j, err := a.control.GetJob(ctx, id, 0, true)
	if err != nil {
		return nil, err
	}
	if j.Payload == nil {
		return nil, newProblem(http.StatusNotFound, "not_found", "the job has no payload any more", FieldProblem{"id", "is a job whose payload was removed"})
	}
	out := &payloadOutput{
		ContentType: j.ContentType, Disposition: "attachment", Sniffing: "nosniff", Policy: "sandbox; default-src 'none'", Body: j.Payload,
	}
	if out.ContentType == "" {
		out.ContentType = job.ContentTypeBinary
	}
	return out, nil
}
