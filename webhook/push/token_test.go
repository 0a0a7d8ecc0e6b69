package push

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// issuer is a token endpoint: each token has the next number.
type issuer struct {
	*httptest.Server
	calls  atomic.Int32
	answer func(w http.ResponseWriter, r *http.Request, n int32)
}

func newIssuer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int32)) *issuer {
	t.Helper()
	i := &issuer{answer: answer}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { i.answer(w, r, i.calls.Add(1)) }))
	t.Cleanup(i.Close)
	return i
}

// issue answers with a token that lives for an hour.
func issue(w http.ResponseWriter, _ *http.Request, n int32) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":3600}`, n)
}

func (i *issuer) auth() Auth {
	return Auth{Type: AuthOAuth2, TokenURL: i.URL + "/token?tenant=hidden", ClientID: "id", ClientSecret: "hidden-secret"}
}

// clock is one that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// tokenWorker answers with the token it was shown, and 401 to those refused.
func tokenWorker(t *testing.T, refuses func(token string) bool) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		if refuses(token) {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, token)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func all(string) bool  { return true }
func none(string) bool { return false }

func TestTokenIsSharedAndRenewed(t *testing.T) {
	t.Parallel()
	endpoint, now := newIssuer(t, issue), newClock()
	client := newClient(t, Options{Now: now.Now})
	d := newAuthDestination(t, tokenWorker(t, none), endpoint.auth())
	push := func(want string) {
		t.Helper()
		if a := client.Push(context.Background(), newRequest(d, "{}")); string(a.Body) != want {
			t.Errorf("%s, want %s (%s)", a.Body, want, a.Error)
		}
	}
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() { push("Bearer token-1") })
	}
	wait.Wait()
	now.advance(time.Hour - tokenMargin - time.Minute)
	push("Bearer token-1")
	now.advance(2 * time.Minute)
	push("Bearer token-2")
	if n := endpoint.calls.Load(); n != 2 {
		t.Errorf("the endpoint was asked %d times, want 2", n)
	}
}

// TestTokenRequest: what the endpoint is sent, by RFC 6749.
func TestTokenRequest(t *testing.T) {
	t.Parallel()
	for style, want := range map[string]string{
		"":              "basic id:s cret/ ",
		AuthStyleHeader: "basic id:s cret/ ",
		AuthStyleBody:   "form id:s cret/ ",
	} {
		got := make(chan string, 1)
		endpoint := newIssuer(t, func(w http.ResponseWriter, r *http.Request, n int32) {
			id, secret, ok := r.BasicAuth()
			if kind := "basic"; ok {
				secret = strings.NewReplacer("+", " ", "%2F", "/").Replace(secret) // form-encoded by section 2.3.1
				got <- fmt.Sprintf("%s %s:%s %s|%s|%s|%s", kind, id, secret, r.FormValue("grant_type"), r.FormValue("scope"), r.FormValue("audience"), r.UserAgent())
			} else {
				got <- fmt.Sprintf("form %s:%s %s|%s|%s|%s", r.FormValue("client_id"), r.FormValue("client_secret"), r.FormValue("grant_type"), r.FormValue("scope"), r.FormValue("audience"), r.UserAgent())
			}
			issue(w, r, n)
		})
		auth := endpoint.auth()
		auth.ClientSecret, auth.Scopes, auth.Audience, auth.AuthStyle = "s cret/", []string{"a", "b"}, "them", style
		pushOK(t, newClient(t, Options{}), newAuthDestination(t, tokenWorker(t, none), auth))
		if text := <-got; text != want+"client_credentials|a b|them|Orchestrix" {
			t.Errorf("style %q: %s", style, text)
		}
	}
}

// TestTokenRefused: a 401 fails its attempt and has a new token fetched once; a
// worker that refuses that one too costs no call for every push.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	endpoint, now := newIssuer(t, issue), newClock()
	client := newClient(t, Options{Now: now.Now})
	stale := newAuthDestination(t, tokenWorker(t, func(token string) bool { return token == "Bearer token-1" }), endpoint.auth())
	first, second := client.Push(t.Context(), newRequest(stale, "{}")), client.Push(t.Context(), newRequest(stale, "{}"))
	if first.Reason != job.ReasonHTTPStatus || first.StatusCode != http.StatusUnauthorized || second.Outcome != job.OutcomeSucceeded || string(second.Body) != "Bearer token-2" {
		t.Errorf("first %+v, second %+v", first, second)
	}
	before := endpoint.calls.Load()
	hostile := newAuthDestination(t, tokenWorker(t, all), endpoint.auth())
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() { client.Push(context.Background(), newRequest(hostile, "{}")) })
	}
	wait.Wait()
	client.Push(t.Context(), newRequest(hostile, "{}"))
	if n := endpoint.calls.Load() - before; n != 2 {
		t.Errorf("%d calls, want 2: the first token, and one after it was refused", n)
	}
	now.advance(refusalRest + time.Second)
	client.Push(t.Context(), newRequest(hostile, "{}"))
	client.Push(t.Context(), newRequest(hostile, "{}"))
	if n := endpoint.calls.Load() - before; n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
}

// TestTokenFailures: an endpoint that gives no token fails the attempt with a
// reason of its own and a text that holds nothing secret, and the worker is not
// called.
func TestTokenFailures(t *testing.T) {
	t.Parallel()
	text := func(status int, contentType, body string) func(http.ResponseWriter, *http.Request, int32) {
		return func(w http.ResponseWriter, _ *http.Request, _ int32) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	const asJSON = "application/json"
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request, int32)
		want   string
	}{
		"refused":        {text(401, asJSON, `{"error":"invalid_client","error_description":"hidden-secret"}`), "answered 401 Unauthorized (invalid_client)"},
		"hostile code":   {text(400, asJSON, `{"error":"hidden-secret <script>"}`), "answered 400 Bad Request"},
		"echo":           {text(500, "text/plain", "hidden-secret"), "answered 500 Internal Server Error"},
		"redirect":       {func(w http.ResponseWriter, r *http.Request, _ int32) { http.Redirect(w, r, "/other", http.StatusFound) }, "answered 302 Found"},
		"no JSON":        {text(200, asJSON, "hidden-secret"), errToken.Error()},
		"no token":       {text(200, asJSON, `{}`), errToken.Error()},
		"line break":     {text(200, asJSON, `{"access_token":"a\r\nb: c"}`), errToken.Error()},
		"mac token":      {text(200, asJSON, `{"access_token":"a","token_type":"mac"}`), errToken.Error()},
		"long token":     {text(200, asJSON, `{"access_token":"`+repeated("a", maxTokenLength+1)+`"}`), errToken.Error()},
		"endless answer": {text(200, asJSON, `{"access_token":"`+repeated("a", 1<<20)+`"}`), errToken.Error()},
		"endless head":   {func(w http.ResponseWriter, _ *http.Request, _ int32) { w.Header().Set("X", repeated("a", 1<<20)) }, "token endpoint"},
		"reset":          {func(http.ResponseWriter, *http.Request, int32) { panic(http.ErrAbortHandler) }, "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := newIssuer(t, c.answer)
			endpoint.Config.ErrorLog = nil
			d := newAuthDestination(t, tokenWorker(t, func(string) bool { t.Error("the worker was called"); return true }), endpoint.auth())
			client := newClient(t, Options{Now: newClock().Now})
			for range 3 {
				a := client.Push(t.Context(), newRequest(d, "{}"))
				if a.Outcome != job.OutcomeFailed || a.Reason != job.ReasonAuth || a.Sent || !strings.Contains(a.Error, c.want) || strings.Contains(a.Error, "hidden") {
					t.Errorf("%+v, want %q", a, c.want)
				}
			}
			if n := endpoint.calls.Load(); n != 1 {
				t.Errorf("a failing endpoint was asked %d times within a second", n)
			}
		})
	}
}

func TestTokenEndpointIsGuarded(t *testing.T) {
	t.Parallel()
	auth := Auth{Type: AuthOAuth2, TokenURL: "http://169.254.169.254/latest/token", ClientID: "i", ClientSecret: "s"}
	a := newClient(t, Options{}).Push(t.Context(), newRequest(newAuthDestination(t, "http://127.0.0.1:1", auth), "{}"))
	if a.Reason != job.ReasonAuth || !strings.Contains(a.Error, "--allow-cidr 169.254.169.254/32") {
		t.Errorf("%+v", a)
	}
}

// TestTokenWaitEnds: neither a deadline nor a cancelled push waits for a slow
// endpoint, and Close ends its call.
func TestTokenWaitEnds(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 10), make(chan struct{})
	endpoint := newIssuer(t, func(_ http.ResponseWriter, r *http.Request, _ int32) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	t.Cleanup(func() { close(release) })
	client := newClient(t, Options{})
	d := newAuthDestination(t, tokenWorker(t, none), endpoint.auth())
	r := newRequest(d, "{}")
	r.Deadline = time.Now().Add(50 * time.Millisecond)
	if a := client.Push(t.Context(), r); a.Reason != job.ReasonAuth || !strings.Contains(a.Error, "deadline") {
		t.Errorf("deadline: %+v", a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	<-asked
	answers := make(chan Answer)
	go func() { answers <- client.Push(ctx, newRequest(d, "{}")) }()
	cancel()
	if a := <-answers; a.Outcome != job.OutcomeCancelled {
		t.Errorf("cancelled: %+v", a)
	}
	go func() { answers <- client.Push(context.Background(), newRequest(d, "{}")) }()
	client.Close()
	if a := <-answers; a.Reason != job.ReasonShutdown {
		t.Errorf("closed: %+v", a)
	}
}

// TestAuthIsStored: what is stored comes back, whatever hides it elsewhere.
func TestAuthIsStored(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(Auth{Type: AuthBearer, Token: "t"})
	if err != nil || string(data) != `{"type":"bearer","token":"t"}` {
		t.Errorf("%s, %v", data, err)
	}
}
