package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

func TestAJobHasWhatThePushSays(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	mux := worker.NewMux(worker.WithSecrets(s.secret))
	var got worker.Job[email]
	worker.Handle(mux, "email.send", func(ctx context.Context, job worker.Job[email]) error {
		got = job
		if p, ok := worker.FromContext(ctx); !ok || p != job.Push {
			t.Error("the context does not know its push")
		}
		return nil
	})
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	resp := s.send(mux, push{id: "job_9_r2", body: mail, header: map[string]string{
		webhook.HeaderKey: webhook.EncodeValue("tenant ä"), webhook.HeaderAttempt: "12", webhook.HeaderIncarnation: "2",
		webhook.HeaderEpoch: "18446744073709551615", webhook.HeaderEnqueuedAt: "2026-03-01T12:00:00Z",
		webhook.HeaderDeadline: "2126-03-01T12:00:00Z", "orchestrix-schedule": "nightly", "orchestrix-scheduled-for": "2026-03-01T12:00:00Z",
	}})
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("answered %s: %s", resp.Status, text(t, resp))
	}
	want := worker.Job[email]{Payload: email{"ada@example.com"}, Push: &worker.Push{
		ID: "job_9", WebhookID: "job_9_r2", Type: "email.send", Queue: "emails", Key: "tenant ä", Attempt: 12, MaxAttempts: 10,
		Incarnation: 2, Epoch: 1<<64 - 1, EnqueuedAt: at, Deadline: at.AddDate(100, 0, 0), Schedule: "nightly", ScheduledFor: at,
		Body: []byte(mail), ContentType: "application/json",
	}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(worker.Push{}), cmpopts.IgnoreFields(worker.Push{}, "Header")); diff != "" {
		t.Error(diff)
	}
}

// What an error of a handler becomes, row by row.
func TestAnswers(t *testing.T) {
	t.Parallel()
	failed := errors.New("no such mailbox")
	for name, c := range map[string]struct {
		err     error
		status  int
		noRetry bool
		after   string
		text    string
	}{
		"success":                 {nil, 204, false, "", ""},
		"failure":                 {failed, 500, false, "", "no such mailbox"},
		"no retry":                {worker.NoRetry(failed), 500, true, "", "no such mailbox"},
		"no retry, wrapped":       {fmt.Errorf("send: %w", worker.NoRetry(failed)), 500, true, "", "send: no such mailbox"},
		"no retry of nothing":     {worker.NoRetry(nil), 204, false, "", ""},
		"retry after":             {worker.RetryAfter(90*time.Second, failed), 500, false, "90", "no such mailbox"},
		"retry after a bit":       {worker.RetryAfter(time.Millisecond, failed), 500, false, "1", "no such mailbox"},
		"retry after the past":    {worker.RetryAfter(-time.Hour, failed), 500, false, "", "no such mailbox"},
		"retry after of nothing":  {worker.RetryAfter(time.Hour, nil), 204, false, "", ""},
		"retry after a week":      {worker.RetryAfter(168*time.Hour, failed), 500, false, "86400", "no such mailbox"},
		"no retry, and after":     {worker.NoRetry(worker.RetryAfter(time.Hour, failed)), 500, true, "", "no such mailbox"},
		"throttle":                {worker.Throttle(1500*time.Millisecond, failed), 429, false, "2", "no such mailbox"},
		"throttle without a time": {worker.Throttle(0, failed), 429, false, "1", "no such mailbox"},
		"throttle of nothing":     {worker.Throttle(0, nil), 204, false, "", ""},
		"control characters":      {errors.New("a\r\nX-Injected: 1\x00\x1b[31m\u2028b"), 500, false, "", "a  X-Injected: 1  [31m b"},
		"not UTF-8":               {errors.New("a\xffb"), 500, false, "", "ab"},
		"a page":                  {errors.New(strings.Repeat("ä", 100_000)), 500, false, "", strings.Repeat("ä", 254) + "…"},
		"nothing to say":          {errors.New(""), 500, false, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			mux := worker.NewMux(worker.WithSecrets(s.secret))
			worker.Handle(mux, "email.send", func(context.Context, worker.Job[email]) error { return c.err })
			resp := s.send(mux, push{body: mail})
			if resp.StatusCode != c.status || (resp.Header.Get("orchestrix-no-retry") == "true") != c.noRetry || resp.Header.Get("Retry-After") != c.after {
				t.Errorf("answered %s with %v", resp.Status, resp.Header)
			}
			if got := strings.TrimSuffix(text(t, resp), "\n"); got != c.text {
				t.Errorf("the text is %q, want %q", got, c.text)
			}
			if kind := resp.Header.Get("Content-Type"); c.err != nil && kind != "text/plain; charset=utf-8" {
				t.Errorf("the text is sent as %q", kind)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	err := errors.New("x")
	for want, err := range map[string]error{
		"succeeded": nil, "failed": worker.RetryAfter(time.Second, err), "throttled": fmt.Errorf("a: %w", worker.Throttle(time.Second, err)),
		"dead": worker.Throttle(time.Second, worker.NoRetry(err)),
	} {
		if got := worker.Outcome(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

func TestErrorsAreStillWhatTheyWrap(t *testing.T) {
	t.Parallel()
	cause := errors.New("x")
	for _, err := range []error{worker.NoRetry(cause), worker.RetryAfter(1, cause), worker.Throttle(1, cause)} {
		if !errors.Is(err, cause) || err.Error() != "x" {
			t.Errorf("%T hides what it wraps", err)
		}
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	type receipt struct {
		ID int `json:"id"`
	}
	for name, c := range map[string]struct {
		register          func(m *worker.Mux)
		status            int
		contentType, body string
	}{
		"JSON": {handler(func() (receipt, error) { return receipt{7}, nil }), 200, "application/json", `{"id":7}`},
		"raw":  {handler(func() (json.RawMessage, error) { return json.RawMessage(`[1]`), nil }), 200, "application/json", `[1]`},
		"bytes of a type": {handler(func() (worker.Result, error) {
			return worker.Result{ContentType: "text/csv", Body: []byte("a,b")}, nil
		}), 200, "text/csv", "a,b"},
		"none":       {handler(func() (worker.Result, error) { return worker.Result{}, nil }), 204, "", ""},
		"an error":   {handler(func() (receipt, error) { return receipt{7}, errors.New("no") }), 500, "text/plain; charset=utf-8", "no\n"},
		"not JSON":   {handler(func() (chan int, error) { return nil, nil }), 500, "text/plain; charset=utf-8", "the job was done, and its result cannot be sent json: unsupported type: chan int\n"},
		"a null":     {handler(func() (*receipt, error) { return nil, nil }), 200, "application/json", "null"},
		"of a panic": {handler(func() (receipt, error) { panic("boom") }), 500, "text/plain; charset=utf-8", "panic: boom\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			mux := worker.NewMux(worker.WithSecrets(s.secret), worker.WithLogger(slog.New(slog.DiscardHandler)))
			c.register(mux)
			resp := s.send(mux, push{body: mail})
			if got := text(t, resp); resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.contentType || got != c.body {
				t.Errorf("answered %s, %q: %q", resp.Status, resp.Header.Get("Content-Type"), got)
			}
			if name == "not JSON" && resp.Header.Get("orchestrix-no-retry") != "true" {
				t.Error("work that is done would be done again")
			}
		})
	}
}

func handler[R any](f func() (R, error)) func(*worker.Mux) {
	return func(m *worker.Mux) {
		worker.HandleResult(m, "email.send", func(context.Context, worker.Job[email]) (R, error) { return f() })
	}
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	type seen struct {
		status  int
		noRetry bool
		payload any
	}
	payloads := map[string]func(m *worker.Mux, got *any){
		"email":  keep[email],
		"bytes":  keep[[]byte],
		"string": keep[string],
		"raw":    keep[json.RawMessage],
		"any":    keep[any],
	}
	const jsonType = "application/json"
	for name, c := range map[string]struct {
		into, contentType, body string
		want                    seen
	}{
		"JSON":                 {"email", jsonType, mail, seen{204, false, email{"ada@example.com"}}},
		"JSON in all but name": {"email", "application/cloudevents+json; charset=utf-8", mail, seen{204, false, email{"ada@example.com"}}},
		"of no type":           {"email", "", mail, seen{204, false, email{"ada@example.com"}}},
		"null":                 {"email", jsonType, "null", seen{204, false, email{}}},
		"none":                 {"email", jsonType, "", seen{204, false, email{}}},
		"another field":        {"email", jsonType, `{"cc":"x"}`, seen{204, false, email{}}},
		"not JSON":             {"email", jsonType, "{", seen{422, true, nil}},
		"of the wrong kind":    {"email", jsonType, `{"to":7}`, seen{422, true, nil}},
		"CSV":                  {"email", "text/csv", mail, seen{422, true, nil}},
		"CSV as bytes":         {"bytes", "text/csv", "a,b", seen{204, false, []byte("a,b")}},
		"CSV as text":          {"string", "text/csv", "a,b", seen{204, false, "a,b"}},
		"JSON as bytes":        {"bytes", jsonType, "{", seen{204, false, []byte("{")}},
		"JSON, raw":            {"raw", jsonType, mail, seen{204, false, json.RawMessage(mail)}},
		"not JSON, raw":        {"raw", jsonType, "{", seen{422, true, nil}},
		"JSON as it comes":     {"any", jsonType, "[1]", seen{204, false, []any{1.0}}},
		"a bad media type":     {"email", "json", mail, seen{422, true, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			mux := worker.NewMux(worker.WithSecrets(s.secret))
			var got seen
			payloads[c.into](mux, &got.payload)
			r := s.request(push{body: c.body})
			r.Header.Del("Content-Type")
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			resp := serve(mux, r)
			got.status, got.noRetry = resp.StatusCode, resp.Header.Get("orchestrix-no-retry") == "true"
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(seen{})); diff != "" {
				t.Errorf("%s\n%s", diff, text(t, resp))
			}
		})
	}
}

func keep[P any](m *worker.Mux, got *any) {
	worker.Handle(m, "email.send", func(_ context.Context, job worker.Job[P]) error {
		*got = job.Payload
		return nil
	})
}

func TestAnUnknownTypeIsAnsweredForAPerson(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	mux, runs := counting(s)
	worker.Handle(mux, "report.render", func(context.Context, worker.Job[email]) error { return nil })
	resp := s.send(mux, push{jobType: "emial.send", body: mail})
	want := "this worker has no handler for jobs of type \"emial.send\"; it has: email.send, report.render\n"
	if got := text(t, resp); resp.StatusCode != http.StatusNotFound || got != want {
		t.Errorf("answered %s: %q", resp.Status, got)
	}
	if resp.Header.Get("orchestrix-no-retry") != "" {
		t.Error("a job that the next version of the worker knows is made dead")
	}
	worker.Handle(mux, worker.Any, func(context.Context, worker.Job[email]) error { return nil })
	if resp := s.send(mux, push{jobType: "emial.send", body: mail, header: map[string]string{webhook.HeaderAttempt: "2"}}); resp.StatusCode != http.StatusNoContent {
		t.Errorf("the handler of any type answered %s", resp.Status)
	}
	if *runs != 0 {
		t.Error("another type's handler ran")
	}
}

// A trial of the worker ("orchestrix workers test") is answered and does nothing.
func TestATrialIsAnswered(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	mux := worker.NewMux(worker.WithSecrets(s.secret))
	worker.Handle(mux, worker.Any, func(context.Context, worker.Job[email]) error { return errors.New("ran") })
	if resp := s.send(mux, push{jobType: "orchestrix.test", body: `{"test":true}`}); resp.StatusCode != http.StatusNoContent {
		t.Errorf("answered %s", resp.Status)
	}
	if resp := serve(mux, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"test":true}`))); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("one that is not signed is answered %s", resp.Status)
	}
}

func TestMistakesOfTheProgramPanic(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	mux, _ := counting(s)
	none := worker.HandlerFunc(func(context.Context, *worker.Push) (worker.Result, error) { return worker.Result{}, nil })
	for name, f := range map[string]func(){
		"no key":           func() { worker.NewMux() },
		"a zero secret":    func() { worker.NewMux(worker.WithSecrets(webhook.Secret{})) },
		"a zero key":       func() { worker.NewMux(worker.WithPublicKeys(webhook.PublicKey{})) },
		"no key any more":  func() { mux.SetKeys(nil, nil) },
		"no type":          func() { mux.Handle("", none) },
		"not a type":       func() { mux.Handle("a b", none) },
		"the server's own": func() { mux.Handle("orchestrix.test", none) },
		"twice":            func() { mux.Handle("email.send", none) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustPanic(t, f)
		})
	}
}

func TestSecretsAndKeysRotate(t *testing.T) {
	t.Parallel()
	older, newer := newSender(t), newSender(t)
	pair := webhook.NewPrivateKey()
	signer, err := older.signer.WithKeys(pair)
	if err != nil {
		t.Fatal(err)
	}
	both := &sender{older.secret, signer}
	mux, _ := counting(newer, worker.WithSecrets(older.secret))
	attempt := 0
	check := func(s *sender, want int) {
		t.Helper()
		attempt++
		if resp := s.send(mux, push{body: mail, header: map[string]string{webhook.HeaderAttempt: fmt.Sprint(attempt)}}); resp.StatusCode != want {
			t.Errorf("push %d is answered %s", attempt, resp.Status)
		}
	}
	check(older, 204)
	check(newer, 204)
	mux.SetKeys([]webhook.Secret{newer.secret}, nil)
	check(older, 401)
	check(newer, 204)
	check(both, 401)
	mux.SetKeys(nil, []webhook.PublicKey{pair.Public()})
	check(newer, 401)
	check(both, 204)
}

func TestMiddleware(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	var order []string
	named := func(name string) worker.Middleware {
		return func(next worker.Handler) worker.Handler {
			return worker.HandlerFunc(func(ctx context.Context, p *worker.Push) (worker.Result, error) {
				order = append(order, name)
				result, err := next.ServePush(ctx, p)
				order = append(order, fmt.Sprint(name, " ", err))
				return result, err
			})
		}
	}
	mux := worker.NewMux(worker.WithSecrets(s.secret), worker.WithMiddleware(named("a"), named("b")), worker.WithLogger(slog.New(slog.DiscardHandler)))
	worker.Handle(mux, "email.send", func(context.Context, worker.Job[email]) error {
		order = append(order, "run")
		panic(errors.New("boom"))
	}, worker.Wrap(named("c")))
	s.send(mux, push{body: mail})
	want := []string{"a", "b", "c", "run", "c panic: boom", "b panic: boom", "a panic: boom"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error(diff)
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	var log strings.Builder
	bad := func(worker.Handler) worker.Handler {
		return worker.HandlerFunc(func(context.Context, *worker.Push) (worker.Result, error) { panic("the middleware") })
	}
	mux := worker.NewMux(worker.WithSecrets(s.secret), worker.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	worker.Handle(mux, "middleware", func(context.Context, worker.Job[email]) error { return nil }, worker.Wrap(bad))
	worker.Handle(mux, "abort", func(context.Context, worker.Job[email]) error { panic(http.ErrAbortHandler) })
	worker.Handle(mux, "nil", func(context.Context, worker.Job[email]) error {
		return fmt.Errorf("%d", make([]int, len(os.Args))[len(os.Args)])
	})
	if resp := s.send(mux, push{jobType: "middleware", body: mail}); resp.StatusCode != http.StatusInternalServerError || text(t, resp) != "panic: the middleware\n" {
		t.Errorf("answered %s", resp.Status)
	}
	if !strings.Contains(log.String(), "mux_test.go") || !strings.Contains(log.String(), "the middleware") {
		t.Errorf("the log has no stack: %s", log.String())
	}
	if resp := s.send(mux, push{jobType: "nil", body: mail}); resp.StatusCode != http.StatusInternalServerError || text(t, resp) != "panic: runtime error: index out of range ["+fmt.Sprint(len(os.Args))+"] with length "+fmt.Sprint(len(os.Args))+"\n" {
		t.Errorf("answered %s", resp.Status)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Error("an aborted answer is an answer")
		}
	}()
	s.send(mux, push{jobType: "abort", body: mail})
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		option worker.Option
		limit  []worker.HandleOption
		text   string
	}{
		"of all":      {worker.WithConcurrency(1), nil, "this worker runs 1 jobs at once, and is full\n"},
		"of one type": {worker.WithConcurrency(2), []worker.HandleOption{worker.Limit(1)}, "this worker runs 1 jobs of this type at once, and is full\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			mux := worker.NewMux(worker.WithSecrets(s.secret), c.option)
			worker.Handle(mux, "email.send", func(_ context.Context, job worker.Job[email]) error {
				if job.Attempt == 2 {
					return nil
				}
				resp := s.send(mux, push{id: "job_2", body: mail})
				if got := text(t, resp); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || got != c.text {
					t.Errorf("answered %s: %s", resp.Status, got)
				}
				return nil
			}, c.limit...)
			s.send(mux, push{body: mail})
			// All slots are free again, also that of the one that was refused.
			if resp := s.send(mux, push{body: mail, header: map[string]string{webhook.HeaderAttempt: "2"}}); resp.StatusCode != http.StatusNoContent {
				t.Errorf("then answered %s", resp.Status)
			}
		})
	}
}

// The context ends with the deadline, whatever the server's clock says.
func TestTheContextHasTheDeadline(t *testing.T) {
	t.Parallel()
	for name, skew := range map[string]time.Duration{"same clock": 0, "slow server": -4 * time.Minute, "fast server": 4 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSender(t)
				mux := worker.NewMux(worker.WithSecrets(s.secret))
				worker.Handle(mux, "email.send", func(ctx context.Context, _ worker.Job[email]) error {
					<-ctx.Done()
					return ctx.Err()
				})
				began, at := time.Now(), time.Now().Add(skew)
				resp := s.send(mux, push{body: mail, at: at, header: map[string]string{webhook.HeaderDeadline: at.Add(30 * time.Second).UTC().Format(time.RFC3339)}})
				if took := time.Since(began); took != 30*time.Second || text(t, resp) != "context deadline exceeded\n" {
					t.Errorf("ended after %v with %s", took, resp.Status)
				}
			})
		})
	}
}

func TestTheContextEndsWhenTheClientGoes(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	mux := worker.NewMux(worker.WithSecrets(s.secret))
	ended := make(chan error, 1)
	started := make(chan struct{})
	worker.Handle(mux, "email.send", func(ctx context.Context, _ worker.Job[email]) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = s.header(push{body: mail})
	go func() {
		<-started
		cancel()
	}()
	if _, err := http.DefaultClient.Do(r); !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v", err)
	}
}
