package api

import (
	"context"
	"time"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// ExchangedHeader is one header of an exchange.
type ExchangedHeader struct {
	Name  string `json:"name"`
	Value string `json:"value" doc:"[redacted] where it may be a credential."`
}

// WorkerTest is what came of a test push.
type WorkerTest struct {
	JobID    string       `json:"job_id" doc:"What the worker got as webhook-id; no such job is stored."`
	Queue    string       `json:"queue" doc:"The worker's first queue, as whose job the test was pushed."`
	Started  time.Time    `json:"started_at"`
	Duration job.Duration `json:"duration"`
	Outcome  string       `json:"outcome" enum:"succeeded,failed,timed_out,cancelled,throttled,lost"`
	Reason   string       `json:"reason,omitempty"`
	Error    string       `json:"error,omitempty"`
	Meaning  string       `json:"meaning" doc:"What the answer would have meant for a job, in a sentence."`

	Request TestRequest `json:"request"`
	Answer  *TestAnswer `json:"answer,omitempty" doc:"Absent where none came."`
}

// TestRequest is what was sent.
type TestRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url" doc:"Without its query."`
	Sent    bool              `json:"sent" doc:"Whether anything of it was written to a connection."`
	Headers []ExchangedHeader `json:"headers" nullable:"false"`
	Body    string            `json:"body"`
}

// TestAnswer is what came back.
type TestAnswer struct {
	Status    int               `json:"status"`
	Headers   []ExchangedHeader `json:"headers" nullable:"false"`
	Body      string            `json:"body" doc:"Its first 4 KiB."`
	Truncated bool              `json:"truncated" doc:"Whether there was more."`
}

func viewTest(t *control.WorkerTest) WorkerTest {
	out := WorkerTest{
		JobID: t.JobID.String(), Queue: t.Queue, Started: t.Started.UTC(), Duration: job.Duration(t.Duration),
		Outcome: t.Outcome.String(), Reason: string(t.Reason), Error: t.Error, Meaning: t.Meaning,
		Request: TestRequest{"POST", t.URL, t.Request != nil, viewHeaders(t.Request), t.Payload},
	}
	if t.StatusCode != 0 {
		out.Answer = &TestAnswer{t.StatusCode, viewHeaders(t.Answer), t.Body, t.Truncated}
	}
	return out
}

func viewHeaders(fields []control.HeaderField) []ExchangedHeader {
	out := make([]ExchangedHeader, 0, len(fields))
	for _, f := range fields {
		out = append(out, ExchangedHeader(f))
	}
	return out
}

type testOutput struct{ Body WorkerTest }

func (a *api) testWorker(ctx context.Context, in *NamePath) (*testOutput, error) {
	t, err := a.control.TestWorker(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &testOutput{viewTest(&t)}, nil
}
