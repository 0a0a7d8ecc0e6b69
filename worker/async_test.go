package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

// quiet keeps what is expected out of the output.
func quiet() worker.Option { return worker.WithLogger(slog.New(slog.DiscardHandler)) }

// bubble runs a test with a Coordinator and a Mux for "video.encode" in a bubble,
// where time is virtual.
func bubble(t *testing.T, run func(ctx context.Context, job worker.Job[email]) (string, error), f func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux), options ...worker.AsyncOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		mux := worker.NewMux(append(c.Options(), quiet())...)
		worker.HandleResult(mux, "video.encode", run, worker.Async(options...))
		f(t, c, mux)
	})
}

var video = workertest.Push{Type: "video.encode", Payload: email{"ada@example.com"}}

func verbs(reports []workertest.Report) []string {
	var out []string
	for _, r := range reports {
		out = append(out, r.Verb)
	}
	return out
}

func TestAnAsynchronousJobRunsOn(t *testing.T) {
	t.Parallel()
	bubble(t, func(ctx context.Context, job worker.Job[email]) (string, error) {
		if _, has := ctx.Deadline(); has {
			return "", errors.New("there is a deadline")
		}
		time.Sleep(10 * time.Minute)
		return "encoded for " + job.Payload.To, ctx.Err()
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		start := time.Now()
		a := c.Push(mux, video)
		if a.Outcome != workertest.Accepted || a.Status != http.StatusAccepted || len(a.Body) != 0 || time.Since(start) != 0 {
			t.Errorf("answered %d %s after %v", a.Status, a.Body, time.Since(start))
		}
		end := a.Wait()
		if string(end.Result) != `"encoded for ada@example.com"` || end.At.Sub(start) != 10*time.Minute {
			t.Errorf("ended after %v with %+v", end.At.Sub(start), end)
		}
		// One heartbeat each 20 seconds, a third of the lease; the last is due at the end.
		reports := a.Reports()
		if n := len(reports) - 1; n != 29 && n != 30 {
			t.Errorf("%d heartbeats", n)
		}
		for i, r := range reports[:len(reports)-1] {
			if want := time.Duration(i+1) * 20 * time.Second; r.Verb != "heartbeat" || r.At.Sub(start) != want {
				t.Errorf("report %d is a %s after %v", i, r.Verb, r.At.Sub(start))
			}
		}
	})
}

func TestTheLeaseIsThePushsOrTheHandlers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pushed time.Duration
		option []worker.AsyncOption
		want   time.Duration
	}{
		"default":    {0, nil, 20 * time.Second},
		"handler's":  {0, []worker.AsyncOption{worker.Lease(30 * time.Second)}, 10 * time.Second},
		"push's":     {90 * time.Second, []worker.AsyncOption{worker.Lease(30 * time.Second)}, 30 * time.Second},
		"not a hail": {time.Millisecond, nil, time.Second / 3},
		"nor from 0": {0, []worker.AsyncOption{worker.Lease(0)}, time.Second / 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(context.Context, worker.Job[email]) (string, error) {
				time.Sleep(c.want + time.Millisecond)
				return "", nil
			}, func(t *testing.T, coordinator *workertest.Coordinator, mux *worker.Mux) {
				start, p := time.Now(), video
				p.HeartbeatTimeout = c.pushed
				a := coordinator.Push(mux, p)
				a.Wait()
				if r := a.Reports(); len(r) != 2 || r[0].At.Sub(start) != c.want {
					t.Errorf("the reports are %+v", r)
				}
			}, c.option...)
		})
	}
}

// A report that is answered 409 ends the context, with the cause that it names.
func TestConflictsEndTheContext(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{
		"cancelled": worker.ErrCancelled, "superseded": worker.ErrSuperseded, "already_applied": worker.ErrAlreadyApplied, "of_a_later_version": worker.ErrSuperseded,
	} {
		for _, verb := range []string{"heartbeat", "progress", "logs"} {
			t.Run(code+" "+verb, func(t *testing.T) {
				t.Parallel()
				var causes chan error // of the bubble, so that time goes on while it is waited for
				bubble(t, func(ctx context.Context, job worker.Job[email]) (string, error) {
					job.Progress(1, "")
					job.Log(slog.LevelInfo, "begin")
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return "", ctx.Err()
				}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
					causes = make(chan error, 1)
					c.OnReport(func(r workertest.Report) (int, string) {
						if r.Verb == verb {
							return http.StatusConflict, code
						}
						return 0, ""
					})
					a := c.Push(mux, video)
					if err := <-causes; !errors.Is(err, want) {
						t.Errorf("the cause is %v", err)
					}
					synctest.Wait()
					time.Sleep(time.Hour)
					// What is over is not reported on any more.
					for _, r := range a.Reports() {
						if r.Verb == "complete" || r.Verb == "fail" || r.At.After(time.Now().Add(-30*time.Minute)) {
							t.Errorf("then came a %s", r.Verb)
						}
					}
				})
			})
		}
	}
}

func TestCancelByAPush(t *testing.T) {
	t.Parallel()
	var causes chan error // of the bubble, so that time goes on while it is waited for
	bubble(t, func(ctx context.Context, _ worker.Job[email]) (string, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return "", ctx.Err()
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		causes = make(chan error, 1)
		start, a := time.Now(), c.Push(mux, video)
		// What names another job or attempt, or is not signed, ends nothing.
		for name, body := range map[string]string{
			"another job": `{"job_id":"job_other","attempt":1}`, "another attempt": fmt.Sprintf(`{"job_id":%q,"attempt":2}`, a.JobID()), "nothing": "",
		} {
			if other := c.Push(mux, workertest.Push{Type: "orchestrix.job.cancel", Body: []byte(body)}); other.Status != http.StatusNotFound {
				t.Errorf("%s is answered %d %s", name, other.Status, other.Body)
			}
		}
		r := c.Request(workertest.Push{Type: "orchestrix.job.cancel", Payload: map[string]any{"job_id": a.JobID()}})
		r.Header.Del("orchestrix-signature")
		if resp := serve(mux, r); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("an unsigned one is answered %s", resp.Status)
		}
		if bad := c.Push(mux, workertest.Push{Type: "orchestrix.job.cancel", Body: []byte("{")}); bad.Status != http.StatusBadRequest {
			t.Errorf("nonsense is answered %d", bad.Status)
		}
		synctest.Wait()
		if len(causes) != 0 {
			t.Fatalf("ended already: %v", <-causes)
		}
		// A server that has missed the answer says it again, and hears the same.
		for i := range 3 {
			if answer := c.SendCancel(mux, a); answer.Status != http.StatusNoContent {
				t.Errorf("cancel %d is answered %d %s", i, answer.Status, answer.Body)
			}
		}
		if err := <-causes; !errors.Is(err, worker.ErrCancelled) || time.Since(start) != 0 {
			t.Errorf("the cause is %v, after %v", err, time.Since(start))
		}
		synctest.Wait()
		if got := verbs(a.Reports()); len(got) != 0 {
			t.Errorf("then came %v", got)
		}
	})
}

// The server gives the place of a cancelled attempt to another one when it hears that
// the handler has ended, and not before.
func TestACancelIsConfirmedByTheEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(ctx context.Context, _ worker.Job[email]) (string, error) {
		<-ctx.Done()
		time.Sleep(7 * time.Second) // to clean up
		return "", ctx.Err()
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		start, a := time.Now(), c.Push(mux, video)
		if first := c.SendCancel(mux, a); first.Outcome != workertest.Throttled || time.Since(start) != 5*time.Second {
			t.Errorf("the first is answered %d %s after %v", first.Status, first.Body, time.Since(start))
		}
		if second := c.SendCancel(mux, a); second.Status != http.StatusNoContent || time.Since(start) != 7*time.Second {
			t.Errorf("the second is answered %d %s after %v", second.Status, second.Body, time.Since(start))
		}
	})
}

// A cancel that names nothing in its body is about the attempt whose headers it bears.
func TestCancelByItsHeaders(t *testing.T) {
	t.Parallel()
	bubble(t, func(ctx context.Context, _ worker.Job[email]) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		p := video
		p.ID = "job_7"
		c.Push(mux, p)
		if a := c.Push(mux, workertest.Push{Type: "orchestrix.job.cancel", ID: "job_7", Body: []byte{}}); a.Status != http.StatusNoContent {
			t.Errorf("answered %d %s", a.Status, a.Body)
		}
	})
}

func TestALostLeaseEndsTheContext(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"unavailable": 503, "not found": 404, "moved": 302, "an error": 500, "unauthorized": 401} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lostAfter time.Duration
			bubble(t, func(ctx context.Context, _ worker.Job[email]) (string, error) {
				start := time.Now()
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), worker.ErrLeaseLost) {
					t.Errorf("the cause is %v", context.Cause(ctx))
				}
				lostAfter = time.Since(start)
				return "", ctx.Err()
			}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
				c.OnReport(func(workertest.Report) (int, string) {
					return status, ""
				})
				a := c.Push(mux, video)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if lostAfter != time.Minute {
					t.Errorf("lost after %v", lostAfter)
				}
				if got := verbs(a.Reports()); slices.Contains(got, "fail") || len(got) < 8 || len(got) > 60 {
					t.Errorf("%d reports: %v", len(got), got)
				}
			})
		})
	}
}

// A server that is away for less than the lease costs nothing.
func TestALeaseIsRenewedAfterAnOutage(t *testing.T) {
	t.Parallel()
	bubble(t, func(ctx context.Context, _ worker.Job[email]) (string, error) {
		time.Sleep(5 * time.Minute)
		return "", ctx.Err()
	}, func(t *testing.T, c *workertest.Coordinator, mux *worker.Mux) {
		start := time.Now()
		c.OnReport(func(r workertest.Report) (int, string) {
			if at := r.At.Sub(start); at > 100*time.Second && at < 155*time.Second {
				return http.StatusServiceUnavailable, ""
			}
			return 0, ""
		})
		if end := c.Push(mux, video).Wait(); end.Verb != "complete" {
			t.Errorf("ended with %+v", end)
		}
	})
}

// The end of a job is told again until it is heard, as long as the lease holds.
func TestTheEndIsReportedUntilItIsTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(since time.Duration, r workertest.Report) (int, string)
		taken  bool
		within time.Duration
	}{
		"at once": {func(time.Duration, workertest.Report) (int, string) { return 0, "" }, true, 0},
		"after a while": {func(since time.Duration, r workertest.Report) (int, string) {
			if r.Verb == "complete" && since < 10*time.Second {
				return 503, ""
			}
			return 0, ""
		}, true, 16 * time.Second},
		"after longer than the lease, with heartbeats": {func(since time.Duration, r workertest.Report) (int, string) {
			if r.Verb == "complete" && since < 5*time.Minute {
				return 503, ""
			}
			return 0, ""
		}, true, 5*time.Minute + 10*time.Second},
		"it was, and the answer was lost": {func(since time.Duration, r workertest.Report) (int, string) {
			switch {
			case r.Verb == "complete" && since == 0:
				return 503, "unknown"
			case r.Verb == "complete":
				return 409, "already_applied"
			}
			return 0, ""
		}, false, time.Second},
		"never": {func(time.Duration, workertest.Report) (int, string) { return 503, "" }, false, time.Minute},
		"refused": {func(_ time.Duration, r workertest.Report) (int, string) {
			if r.Verb == "complete" {
				return 422, "invalid"
			}
			return 0, ""
		}, false, 0},
		"cancelled meanwhile": {func(since time.Duration, r workertest.Report) (int, string) {
			if r.Verb == "heartbeat" {
				return 409, "cancelled"
			}
			return 503, ""
		}, false, 21 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(context.Context, worker.Job[email]) (string, error) { return "ok", nil }, func(t *testing.T, coordinator *workertest.Coordinator, mux *worker.Mux) {
				start := time.Now()
				coordinator.OnReport(func(r workertest.Report) (int, string) { return c.answer(time.Since(start), r) })
				a := coordinator.Push(mux, video)
				time.Sleep(time.Hour)
				reports := a.Reports()
				last := reports[len(reports)-1]
				if taken := last.Verb == "complete" && last.Status == http.StatusOK; taken != c.taken || last.At.Sub(start) > c.within {
					t.Errorf("the last is a %s, answered %d after %v", last.Verb, last.Status, last.At.Sub(start))
				}
			})
		})
	}
}

// What an error of an asynchronous handler becomes.
func TestAsynchronousFailures(t *testing.T) {
	t.Parallel()
	failed := errors.New("no\ndisk")
	for name, c := range map[string]struct {
		run  func() error
		want workertest.Report
	}{
		"failure":     {func() error { return failed }, workertest.Report{Error: "no disk", Retry: true}},
		"no retry":    {func() error { return worker.NoRetry(failed) }, workertest.Report{Error: "no disk"}},
		"retry after": {func() error { return worker.RetryAfter(90*time.Second, failed) }, workertest.Report{Error: "no disk", Retry: true, RetryAfter: 90e9}},
		"throttle":    {func() error { return worker.Throttle(time.Second, failed) }, workertest.Report{Error: "no disk", Retry: true, RetryAfter: 1e9}},
		"retry late":  {func() error { return worker.RetryAfter(48*time.Hour, failed) }, workertest.Report{Error: "no disk", Retry: true, RetryAfter: 86400e9}},
		"no words":    {func() error { return errors.New("") }, workertest.Report{Error: "failed", Retry: true}},
		"panic":       {func() error { panic("boom") }, workertest.Report{Error: "panic: boom", Retry: true}},
		"abort":       {func() error { panic(http.ErrAbortHandler) }, workertest.Report{Error: "panic: net/http: abort Handler", Retry: true}},
		"goexit":      {func() error { runtime.Goexit(); return nil }, workertest.Report{Error: "the handler ended its goroutine", Retry: true}},
		"a page":      {func() error { return errors.New(strings.Repeat("x", 10_000)) }, workertest.Report{Error: strings.Repeat("x", 509) + "…", Retry: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(context.Context, worker.Job[email]) (string, error) { return "", c.run() }, func(t *testing.T, coordinator *workertest.Coordinator, mux *worker.Mux) {
				got := coordinator.Push(mux, video).Wait()
				c.want.Verb, c.want.Status, c.want.At = "fail", http.StatusOK, got.At
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAsynchronousResults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result worker.Result
		want   string
	}{
		"none":            {worker.Result{}, ""},
		"JSON":            {worker.Result{Body: []byte(`{"a":1}`)}, `{"a":1}`},
		"text":            {worker.Result{ContentType: "text/csv", Body: []byte("a,b")}, `"a,b"`},
		"JSON that isn't": {worker.Result{Body: []byte(`{`)}, `"{"`},
		"bytes":           {worker.Result{ContentType: "image/png", Body: []byte{0xff, 0xfe}}, `"//4="`},
		"too large":       {worker.Result{ContentType: "text/plain", Body: make([]byte, worker.MaxResult)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				coordinator := workertest.New(t)
				mux := worker.NewMux(append(coordinator.Options(), quiet())...)
				worker.HandleResult(mux, "video.encode", func(context.Context, worker.Job[email]) (worker.Result, error) { return c.result, nil }, worker.Async())
				a := coordinator.Push(mux, video)
				if end := a.Wait(); end.Verb != "complete" || string(end.Result) != c.want {
					t.Errorf("the result is %s", end.Result)
				}
				if told := slices.Contains(verbs(a.Reports()), "logs"); told != (name == "too large") {
					t.Errorf("the job's log tells of it: %t", told)
				}
			})
		})
	}
}

func TestWhatCannotReportIsNotAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header, value string
		status        int
	}{
		"no address":         {"orchestrix-callback-url", "", 501},
		"no token":           {"orchestrix-attempt-token", "", 501},
		"no URL":             {"orchestrix-callback-url", "/v1/attempts/1", 400},
		"another scheme":     {"orchestrix-callback-url", "file:///etc/passwd", 400},
		"with a password":    {"orchestrix-callback-url", "https://a:b@example.com/", 400},
		"not a URL":          {"orchestrix-callback-url", "http://%zz", 400},
		"not a heartbeat":    {"orchestrix-heartbeat-timeout", "soon", 400},
		"all that is needed": {"orchestrix-heartbeat-timeout", "1m30s", 202},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			done := make(chan struct{}, 1)
			mux := worker.NewMux(worker.WithSecrets(s.secret), quiet(), worker.WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
			})}))
			worker.Handle(mux, "email.send", func(context.Context, worker.Job[email]) error { done <- struct{}{}; return nil }, worker.Async())
			header := map[string]string{"orchestrix-callback-url": "https://orchestrix.example.com/v1/attempts/1", "orchestrix-attempt-token": "oat_1"}
			header[c.header] = c.value
			resp := s.send(mux, push{body: mail, header: header})
			if resp.StatusCode != c.status || (resp.Header.Get("orchestrix-async") == "true") != (c.status == http.StatusAccepted) {
				t.Errorf("answered %s: %s", resp.Status, text(t, resp))
			}
			if err := mux.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if (len(done) == 1) != (c.status == http.StatusAccepted) {
				t.Errorf("%d runs", len(done))
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Where the server has gone before it could be told, the job does not run: it
// counts the attempt as failed.
func TestAnAnswerThatNobodyGetsAcceptsNothing(t *testing.T) {
	t.Parallel()
	c := workertest.New(t)
	mux := worker.NewMux(append(c.Options(), worker.WithConcurrency(1))...)
	var runs atomic.Int32
	worker.Handle(mux, "video.encode", func(context.Context, worker.Job[email]) error { runs.Add(1); return nil }, worker.Async())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mux.ServeHTTP(httptest.NewRecorder(), c.Request(video).WithContext(ctx))
	if a := c.Push(mux, video); a.Outcome != workertest.Accepted {
		t.Errorf("its slot is still taken: %d %s", a.Status, a.Body)
	}
	if err := mux.Shutdown(t.Context()); err != nil || runs.Load() != 1 {
		t.Errorf("%d runs, %v", runs.Load(), err)
	}
}

// A writer that cannot flush, as some that are wrapped: what was answered 202 runs.
func TestAnAnswerThatIsNotFlushedAccepts(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]http.ResponseWriter{"cannot": &noFlush{}, "fails": &badFlush{}} {
		c := workertest.New(t)
		mux := worker.NewMux(c.Options()...)
		var runs atomic.Int32
		worker.Handle(mux, "video.encode", func(context.Context, worker.Job[email]) error { runs.Add(1); return nil }, worker.Async())
		mux.ServeHTTP(w, c.Request(video))
		if err := mux.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if (runs.Load() == 1) != (name == "cannot") {
			t.Errorf("a writer whose flush %s: %d runs", name, runs.Load())
		}
	}
}

type noFlush struct{ header http.Header }

func (w *noFlush) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (*noFlush) Write(p []byte) (int, error) { return len(p), nil }
func (*noFlush) WriteHeader(int)             {}

type badFlush struct{ noFlush }

func (*badFlush) FlushError() error { return errors.New("broken pipe") }

func TestAnAsynchronousJobHoldsItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workertest.New(t)
		mux := worker.NewMux(append(c.Options(), worker.WithConcurrency(1))...)
		worker.Handle(mux, "video.encode", func(context.Context, worker.Job[email]) error { time.Sleep(time.Minute); return nil }, worker.Async())
		a := c.Push(mux, video)
		if second := c.Push(mux, video); second.Outcome != workertest.Throttled || second.RetryAfter != time.Second {
			t.Errorf("the second is %s", second.Outcome)
		}
		a.Wait()
		synctest.Wait()
		if third := c.Push(mux, video); third.Outcome != workertest.Accepted {
			t.Errorf("the third is %s", third.Outcome)
		}
		time.Sleep(2 * time.Minute)
	})
}

// The whole way over real connections, as a server and a worker have it.
func TestReportsOnTheWire(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	got := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- "followed a redirect with " + r.Header.Get("Authorization")
	}))
	defer elsewhere.Close()
	coordinator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Authorization"), " ", r.Header.Get("Content-Type"), " ", string(body))
		if strings.HasSuffix(r.URL.Path, "/progress") {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}
	}))
	defer coordinator.Close()
	mux := worker.NewMux(worker.WithSecrets(s.secret))
	worker.HandleResult(mux, "email.send", func(_ context.Context, job worker.Job[email]) (map[string]int, error) {
		job.Progress(50, "half")
		return map[string]int{"sent": 1}, nil
	}, worker.Async())
	server := httptest.NewServer(mux)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = s.header(push{body: mail, header: map[string]string{"orchestrix-callback-url": coordinator.URL + "/v1/attempts/1/", "orchestrix-attempt-token": "oat_1"}})
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted || resp.Header.Get("orchestrix-async") != "true" {
		t.Errorf("answered %s", resp.Status)
	}
	if err := mux.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	close(got)
	var all []string
	for line := range got {
		all = append(all, line)
	}
	want := []string{
		`POST /v1/attempts/1/progress Bearer oat_1 application/json {"percent":50,"message":"half"}`,
		`POST /v1/attempts/1/complete Bearer oat_1 application/json {"result":{"sent":1}}`,
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
}
