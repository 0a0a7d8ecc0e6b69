package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/orchestrix/orchestrix/job"
)

// Job is a push with its payload decoded. P is what encoding/json decodes the
// payload into; with []byte or string it is the payload as it is, whatever its
// type. A job without a payload has the zero P.
type Job[P any] struct {
	*Push
	Payload P
}

// Handle registers the function that runs jobs of a type. Its error fails the
// attempt, see NoRetry, RetryAfter and Throttle; nil is success.
//
// A payload that is not a P is never handed to the function: it is answered 422
// with orchestrix-no-retry, since the same bytes will be wrong again.
func Handle[P any](m *Mux, jobType string, run func(ctx context.Context, job Job[P]) error, options ...HandleOption) {
	m.Handle(jobType, HandlerFunc(func(ctx context.Context, p *Push) (Result, error) {
		payload, err := decode[P](p)
		if err != nil {
			return Result{}, err
		}
		return Result{}, run(ctx, Job[P]{p, payload})
	}), options...)
}

// HandleResult registers a function with a result, which is kept with the job. It
// is sent as JSON, unless R is Result, which is sent as it is.
func HandleResult[P, R any](m *Mux, jobType string, run func(ctx context.Context, job Job[P]) (R, error), options ...HandleOption) {
	m.Handle(jobType, HandlerFunc(func(ctx context.Context, p *Push) (Result, error) {
		payload, err := decode[P](p)
		if err != nil {
			return Result{}, err
		}
		out, err := run(ctx, Job[P]{p, payload})
		if err != nil {
			return Result{}, err
		}
		return resultOf(out)
	}), options...)
}

func decode[P any](p *Push) (P, error) {
	var payload P
	switch out := any(&payload).(type) {
	case *[]byte:
		*out = p.Body
		return payload, nil
	case *string:
		*out = string(p.Body)
		return payload, nil
	}
	if len(p.Body) == 0 {
		return payload, nil
	}
	if p.ContentType != "" && !job.IsJSON(p.ContentType) {
		return payload, payloadError(fmt.Errorf("the payload is %s, not JSON: a handler of []byte gets it as it is", p.ContentType))
	}
	if err := json.Unmarshal(p.Body, &payload); err != nil {
		return payload, payloadError(fmt.Errorf("the payload is not what the handler expects: %w", err))
	}
	return payload, nil
}

func payloadError(err error) error {
	return NoRetry(&statusError{http.StatusUnprocessableEntity, err})
}

// MaxResult is how many bytes of a result the server keeps.
const MaxResult = 64 << 10

// Result is what a job has to show for itself: bytes and their type. The zero
// Result is none.
type Result struct {
	// ContentType is application/json where it is empty.
	ContentType string
	// Body is kept up to MaxResult bytes.
	Body []byte
}

// resultOf encodes what a function returned. A failure to do so is not repeated:
// the work is done, and would be done again.
func resultOf(out any) (Result, error) {
	if r, ok := out.(Result); ok {
		return r, nil
	}
	body, err := json.Marshal(out)
	if err != nil {
		return Result{}, NoRetry(errors.Join(errors.New("the job was done, and its result cannot be sent"), err))
	}
	return Result{Body: body}, nil
}
