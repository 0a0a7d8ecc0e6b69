package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// WorkerTest is what came of a test push. Nothing of it is stored.
type WorkerTest struct {
	// JobID is what the worker got as webhook-id, Queue as whose job.
	JobID     string       `json:"job_id"`
	Queue     string       `json:"queue"`
	StartedAt time.Time    `json:"started_at"`
	Duration  job.Duration `json:"duration"`
	Outcome   string       `json:"outcome"`
	Reason    string       `json:"reason,omitempty"`
	Error     string       `json:"error,omitempty"`
	// Meaning says in a sentence what the answer would have meant for a job.
	Meaning string      `json:"meaning"`
	Request TestRequest `json:"request"`
	// Answer is nil where none came.
	Answer *TestAnswer `json:"answer,omitempty"`
}

// TestRequest is what was sent.
type TestRequest struct {
	Method string `json:"method"`
	// URL is without its query.
	URL string `json:"url"`
	// Sent says that anything of it was written to a connection.
	Sent    bool              `json:"sent"`
	Headers []ExchangedHeader `json:"headers"`
	Body    string            `json:"body"`
}

// TestAnswer is what came back.
type TestAnswer struct {
	Status  int               `json:"status"`
	Headers []ExchangedHeader `json:"headers"`
	// Body is its first 4 KiB; Truncated says that there was more.
	Body      string `json:"body"`
	Truncated bool   `json:"truncated"`
}

// ExchangedHeader is one header of an exchange; values that may be credentials
// are "[redacted]".
type ExchangedHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TestWorker pushes a signed test of type orchestrix.test to a worker, paused or
// not, and returns the exchange. That the worker cannot be reached, or refuses,
// is no error: see Outcome. It takes up to 30 seconds.
func (c *Client) TestWorker(ctx context.Context, name string) (*WorkerTest, error) {
	var t WorkerTest
	if err := c.do(ctx, call{method: http.MethodPost, path: workerPath(name) + "/test", once: true}, &t); err != nil {
		return nil, fmt.Errorf("test worker %s: %w", name, err)
	}
	return &t, nil
}
