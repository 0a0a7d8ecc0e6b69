package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"
)

// call is one request, as often as it has to be sent.
type call struct {
	method string
	path   string
	query  url.Values
	header http.Header
	// body is sent as JSON, unless it is a []byte, which is sent as it is.
	body        any
	contentType string
	// once says that the call must not be carried out twice: it is repeated only
	// where the server has certainly not acted.
	once bool
}

const (
	// firstWait and maxWait bound the back-off between repetitions.
	firstWait = 250 * time.Millisecond
	maxWait   = 4 * time.Second
	// maxRetryAfter is the longest wait that is granted to a server; a longer one
	// is handed to the caller as the problem it is.
	maxRetryAfter = 30 * time.Second
	// maxAnswer bounds what is read of an answer; the largest, the results of a
	// full batch, is far below.
	maxAnswer = 64 << 20
)

// do sends the call until it is answered for good, and decodes the answer into
// out unless that is nil.
func (c *Client) do(ctx context.Context, call call, out any) error {
	body, err := call.encode()
	if err != nil {
		return fmt.Errorf("%s %s: %w", call.method, call.path, err)
	}
	for try := 0; ; try++ {
		answer, err := c.send(ctx, call, body)
		if err == nil {
			return decode(answer, out)
		}
		wait, again := call.retryable(err, try)
		if !again || try >= c.retries || !sleep(ctx, wait) {
			return err
		}
	}
}

func (c call) encode() ([]byte, error) {
	switch body := c.body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return body, nil
	default:
		return json.Marshal(body)
	}
}

// raw is an answer that is taken as it is.
type raw struct {
	body        []byte
	contentType string
}

func decode(answer raw, out any) error {
	switch out := out.(type) {
	case nil:
		return nil
	case *raw:
		*out = answer
		return nil
	}
	if err := json.Unmarshal(answer.body, out); err != nil {
		return fmt.Errorf("the answer is not what this client expects: %w", err)
	}
	return nil
}

// send sends the call once and returns a 2xx answer.
func (c *Client) send(ctx context.Context, call call, body []byte) (raw, error) {
	req, err := c.request(ctx, call, body)
	if err != nil {
		return raw{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return raw{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return raw{}, fmt.Errorf("%s %s: read the answer: %w", call.method, call.path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return raw{}, problemOf(resp, answer, time.Now())
	}
	return raw{answer, resp.Header.Get("Content-Type")}, nil
}

func (c *Client) request(ctx context.Context, call call, body []byte) (*http.Request, error) {
	target := *c.base
	target.Path += call.path
	target.RawQuery = call.query.Encode()
	req, err := http.NewRequestWithContext(ctx, call.method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range call.header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", firstNonEmpty(call.contentType, "application/json"))
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", c.userAgent)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	// The repetitions are counted here: the transport must not add its own, which
	// it does for a request whose body it can get again.
	req.GetBody = nil
	return req, nil
}

// retryable says whether a failed try may be followed by another, and after
// which wait.
func (c call) retryable(err error, try int) (time.Duration, bool) {
	wait := backoff(try)
	var p *Problem
	if !errors.As(err, &p) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return 0, false
		}
		return wait, !c.once || neverSent(err)
	}
	switch p.Status {
	case http.StatusTooManyRequests:
	case http.StatusServiceUnavailable:
		if c.once && p.Outcome != "" {
			return 0, false
		}
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		if c.once {
			return 0, false
		}
	default:
		return 0, false
	}
	return max(wait, p.RetryAfter), p.RetryAfter <= maxRetryAfter
}

// neverSent reports whether the connection could not even be made.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// backoff returns the wait after that many repetitions, between half and all of
// 250ms, 500ms, 1s and so on.
func backoff(try int) time.Duration {
	wait := min(firstWait<<min(try, 10), maxWait)
	return wait/2 + rand.N(wait/2)
}

// sleep waits, and reports false where the context would end before.
func sleep(ctx context.Context, wait time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// get carries out a call that answers with a T. what says in an error what was tried.
func get[T any](ctx context.Context, c *Client, call call, what string) (*T, error) {
	var out T
	if err := c.do(ctx, call, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return &out, nil
}
