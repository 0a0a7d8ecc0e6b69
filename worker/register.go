package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// Registration is how a worker presents itself to a server.
type Registration struct {
	// Server is the server's base URL, such as "http://127.0.0.1:8080", and Key an
	// API key with the scope workers:write; empty where the server needs none.
	Server, Key string
	// Name is the worker's, see job.CheckName. Processes that serve the same URL, such
	// as those behind a load balancer, have one name.
	Name string
	// Deregister takes the registration back at Shutdown, before the last jobs are
	// waited for. It is for a process whose name is its own: others of the same name
	// would be taken away with it.
	Deregister bool

	// URL is where the server reaches this worker.
	URL string
	// Queues are those that it serves.
	Queues []string
	// Concurrency bounds the pushes on each of the queues; 0 leaves it to the queue.
	Concurrency int
	// Timeout bounds one attempt, 1s to 1h; 0 means the server's default.
	Timeout time.Duration
	// HeartbeatTimeout is how long an asynchronous attempt may be silent, 5s to 1h; 0
	// means the server's default, which is DefaultLease. Say the same with Lease.
	HeartbeatTimeout time.Duration
	// AsyncTimeout bounds an asynchronous attempt as a whole; 0 means the server's
	// default, a day.
	AsyncTimeout time.Duration
	// Weight is its share among the workers of a queue; 0 means 1.
	Weight int
	// Description and Labels are for people.
	Description string
	Labels      map[string]string
}

// registrationBody is the body of PUT /v1/workers/{name}.
type registrationBody struct {
	URL              string            `json:"url"`
	Queues           []string          `json:"queues"`
	Concurrency      int               `json:"concurrency,omitempty"`
	Timeout          job.Duration      `json:"timeout,omitempty"`
	HeartbeatTimeout job.Duration      `json:"heartbeat_timeout,omitempty"`
	AsyncTimeout     job.Duration      `json:"async_timeout,omitempty"`
	Weight           int               `json:"weight,omitempty"`
	Description      string            `json:"description,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	SigningSecret    string            `json:"signing_secret,omitempty"`
}

// Register registers the worker at a server, with the first of the Mux's secrets to
// sign with: call it when the http.Server listens. Where a worker of this name
// exists, its configuration is replaced. While the server cannot be reached or is
// not ready, it tries again until ctx ends; what the server refuses is an error at
// once, with its reason.
func (m *Mux) Register(ctx context.Context, r Registration) error {
	target, err := r.target()
	if err != nil {
		return fmt.Errorf("register worker %s: %w", r.Name, err)
	}
	body, err := json.Marshal(registrationBody{
		r.URL, r.Queues, r.Concurrency, job.Duration(r.Timeout), job.Duration(r.HeartbeatTimeout), job.Duration(r.AsyncTimeout), r.Weight, r.Description, r.Labels, m.signingSecret(),
	})
	if err != nil {
		return fmt.Errorf("register worker %s: %w", r.Name, err)
	}
	if err := m.callUntil(ctx, http.MethodPut, target, r.Key, body); err != nil {
		return fmt.Errorf("register worker %s: %w", r.Name, err)
	}
	if r.Deregister {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.registered = append(m.registered, r)
	}
	return nil
}

// signingSecret is the text of the secret that the server is to sign with; "" where
// there are public keys alone.
func (m *Mux) signingSecret() string {
	if secrets := m.verifier.Load().Secrets; len(secrets) > 0 {
		return secrets[0].Reveal()
	}
	return ""
}

func (r *Registration) target() (string, error) {
	u, err := url.Parse(r.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", errors.New("the server's URL must begin with http:// or https://, name a host, and hold no credentials")
	}
	if message := job.CheckName(r.Name); message != "" {
		return "", errors.New("the name " + message)
	}
	return strings.TrimSuffix(u.Scheme+"://"+u.Host+u.Path, "/") + "/v1/workers/" + r.Name, nil
}

// callUntil calls the server until it has an answer for good.
func (m *Mux) callUntil(ctx context.Context, method, target, key string, body []byte) error {
	for try := 0; ; try++ {
		again, err := m.call(ctx, method, target, key, body)
		if err == nil || !again {
			return err
		}
		timer := time.NewTimer(backoff(try))
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
	}
}

// maxCallAnswer is above any answer to a registration.
const maxCallAnswer = 1 << 20

// call calls the server once. again says that a failure may pass.
func (m *Mux) call(ctx context.Context, method, target, key string, body []byte) (again bool, err error) {
	ctx, stop := context.WithTimeout(ctx, maxPatience)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxCallAnswer))
	if err != nil {
		return true, err
	}
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError
	return again, refusalOf(resp.StatusCode, answer)
}

// callError is an answer that says no.
type callError struct {
	status int
	text   string
}

func (e *callError) Error() string { return e.text }

// refusalOf says why the server does not want a call, field by field.
func refusalOf(status int, answer []byte) error {
	var problem struct {
		Detail string `json:"detail"`
		Errors []struct {
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	_ = json.Unmarshal(answer, &problem) // a proxy's answer is no problem
	text := fmt.Sprintf("answered %d %s", status, http.StatusText(status))
	if problem.Detail != "" {
		text += ": " + problem.Detail
	}
	for _, e := range problem.Errors {
		text += "; " + e.Field + " " + e.Message
	}
	return &callError{status, plainText(text)}
}

// deregister takes back what Register has registered, within a time of its own: also
// who cannot wait for jobs should have no more sent. It returns what it could not.
func (m *Mux) deregister(ctx context.Context, within time.Duration) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer stop()
	m.mu.Lock()
	list := m.registered
	m.registered = nil
	m.mu.Unlock()
	var errs []error
	for _, r := range list {
		target, err := r.target()
		if err == nil {
			_, err = m.call(ctx, http.MethodDelete, target, r.Key, nil)
		}
		var refused *callError
		if errors.As(err, &refused) && refused.status == http.StatusNotFound {
			continue // somebody else has done it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("worker %s is still registered: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}
