package worker_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

// Everything that is not a push of ours is refused before a handler sees it.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(r *http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		change func(r *http.Request)
		want   int
	}{
		"untouched":                    {func(*http.Request) {}, 204},
		"tampered body":                {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"to":"eve@example.com"}`)) }, 401},
		"longer body":                  {func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(mail+" ")), -1 }, 401},
		"no body":                      {func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }, 401},
		"tampered id":                  {set("webhook-id", "job_2"), 401},
		"no id":                        {func(r *http.Request) { r.Header.Del("webhook-id") }, 401},
		"empty id":                     {set("webhook-id", ""), 401},
		"id with a dot":                {set("webhook-id", "job_1.2"), 401},
		"giant id":                     {set("webhook-id", strings.Repeat("j", 10_000)), 401},
		"tampered timestamp":           {set("webhook-timestamp", fmt.Sprint(time.Now().Unix()-1)), 401},
		"no timestamp":                 {func(r *http.Request) { r.Header.Del("webhook-timestamp") }, 401},
		"timestamp NaN":                {set("webhook-timestamp", "NaN"), 401},
		"timestamp 1e20":               {set("webhook-timestamp", "1e20"), 401},
		"timestamp of 20 digits":       {set("webhook-timestamp", strings.Repeat("9", 20)), 401},
		"timestamp 0":                  {set("webhook-timestamp", "0"), 401},
		"timestamp below 0":            {set("webhook-timestamp", "-1"), 401},
		"timestamp with a fraction":    {set("webhook-timestamp", fmt.Sprintf("%d.0", time.Now().Unix())), 401},
		"timestamp with a sign":        {set("webhook-timestamp", fmt.Sprintf("+%d", time.Now().Unix())), 401},
		"timestamp with a zero":        {set("webhook-timestamp", fmt.Sprintf("0%d", time.Now().Unix())), 401},
		"no signature":                 {func(r *http.Request) { r.Header.Del("webhook-signature") }, 401},
		"empty signature":              {set("webhook-signature", ""), 401},
		"signature of spaces":          {set("webhook-signature", strings.Repeat(" ", 1000)), 401},
		"truncated signature":          {cut("webhook-signature", 1), 401},
		"half a signature":             {cut("webhook-signature", 20), 401},
		"unknown scheme":               {func(r *http.Request) { replace(r, "webhook-signature", "v1,", "v9,") }, 401},
		"no scheme":                    {func(r *http.Request) { replace(r, "webhook-signature", "v1,", "") }, 401},
		"10,000 signatures":            {set("webhook-signature", strings.Repeat("v1,"+strings.Repeat("A", 43)+"= ", 10_000)), 401},
		"10,000 and the right one":     {func(r *http.Request) { prepend(r, "webhook-signature", strings.Repeat("v1,AAAA ", 10_000)) }, 401},
		"10,000 keys' signatures":      {set("webhook-signature", strings.Repeat("v1a,"+strings.Repeat("A", 86)+"== ", 10_000)), 401},
		"no own signature":             {func(r *http.Request) { r.Header.Del("orchestrix-signature") }, 401},
		"empty own signature":          {set("orchestrix-signature", ""), 401},
		"truncated own signature":      {cut("orchestrix-signature", 1), 401},
		"own signature for the other":  {func(r *http.Request) { r.Header.Set("orchestrix-signature", r.Header.Get("webhook-signature")) }, 401},
		"10,000 own signatures":        {set("orchestrix-signature", strings.Repeat("v1,"+strings.Repeat("A", 43)+"= ", 10_000)), 401},
		"tampered type":                {set("orchestrix-job-type", "report.render"), 401},
		"tampered attempt":             {set("orchestrix-attempt", "2"), 401},
		"tampered epoch":               {set("orchestrix-epoch", "8"), 401},
		"tampered deadline":            {set("orchestrix-deadline", "2126-03-01T12:00:00Z"), 401},
		"one header less":              {func(r *http.Request) { r.Header.Del("orchestrix-attempt") }, 401},
		"one header more":              {set("orchestrix-callback-url", "https://evil.example.com"), 401},
		"a header twice":               {func(r *http.Request) { r.Header.Add("orchestrix-attempt", "1") }, 401},
		"a signature twice":            {func(r *http.Request) { r.Header.Add("webhook-signature", "v1,AAAA") }, 401},
		"no orchestrix header":         {strip, 401},
		"line feed in a header":        {set("orchestrix-queue", "emails\norchestrix-key:x"), 401},
		"10,000 headers":               {manyHeaders, 401},
		"content type is not signed":   {set("Content-Type", "application/vnd.x+json"), 204},
		"method HEAD":                  {func(r *http.Request) { r.Method = http.MethodHead }, 405},
		"method of its own":            {func(r *http.Request) { r.Method = "BREW" }, 405},
		"method PUT":                   {func(r *http.Request) { r.Method = http.MethodPut }, 204},
		"length that is a lie":         {func(r *http.Request) { r.ContentLength = 1 << 40 }, 413},
		"length that is a smaller lie": {func(r *http.Request) { r.ContentLength = 15 << 20 }, 204},
		"body that breaks off":         {func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader(mail), errorReader{})) }, 400},
		"giant body of unknown length": {func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(endless{}), -1 }, 413},
		"giant body of a wrong length": {func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(endless{}), 10 }, 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			mux, runs := counting(s)
			r := s.request(push{body: mail})
			c.change(r)
			resp := serve(mux, r)
			if resp.StatusCode != c.want || (*runs == 1) != (c.want == 204) {
				t.Errorf("answered %s after %d runs: %s", resp.Status, *runs, text(t, resp))
			}
			if got := text(t, resp); len(got) > 1000 {
				t.Errorf("the answer has %d bytes", len(got))
			}
			// What was refused has left nothing behind: the true push still gets through.
			if c.want == 401 {
				if resp := s.send(mux, push{body: mail}); resp.StatusCode != http.StatusNoContent {
					t.Errorf("the true one is answered %s", resp.Status)
				}
			}
		})
	}
}

func cut(name string, n int) func(r *http.Request) {
	return func(r *http.Request) {
		value := r.Header.Get(name)
		r.Header.Set(name, value[:len(value)-n])
	}
}

func replace(r *http.Request, name, from, to string) {
	r.Header.Set(name, strings.ReplaceAll(r.Header.Get(name), from, to))
}

func prepend(r *http.Request, name, before string) {
	r.Header.Set(name, before+r.Header.Get(name))
}

func strip(r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), webhook.HeaderPrefix) {
			r.Header.Del(name)
		}
	}
}

func manyHeaders(r *http.Request) {
	for i := range 10_000 {
		r.Header.Set(fmt.Sprintf("orchestrix-x%d", i), "1")
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// The time of a push may lie five minutes off, in either direction.
func TestTimestampsAtTheirBounds(t *testing.T) {
	t.Parallel()
	for offset, want := range map[time.Duration]int{
		-301 * time.Second: 401, -295 * time.Second: 204, 0: 204, 295 * time.Second: 204, 302 * time.Second: 401,
		-24 * time.Hour: 401, 24 * time.Hour: 401,
	} {
		s := newSender(t)
		mux, _ := counting(s)
		if resp := s.send(mux, push{body: mail, at: time.Now().Add(offset)}); resp.StatusCode != want {
			t.Errorf("a push signed at %v is answered %s", offset, resp.Status)
		}
	}
}

// Headers that are signed and wrong are a mistake of the server's, and told.
func TestSignedNonsense(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		webhook.HeaderAttempt: "one", webhook.HeaderMaxAttempts: "-1", webhook.HeaderIncarnation: "1e3", webhook.HeaderEpoch: "18446744073709551616",
		webhook.HeaderDeadline: "soon", webhook.HeaderEnqueuedAt: "2026-13-01T00:00:00Z", "orchestrix-scheduled-for": "1", webhook.HeaderKey: "%zz", webhook.HeaderJobType: "",
	} {
		s := newSender(t)
		mux, runs := counting(s)
		resp := s.send(mux, push{body: mail, header: map[string]string{name: value}})
		if got := text(t, resp); resp.StatusCode != http.StatusBadRequest || *runs != 0 || !strings.HasPrefix(got, "header "+name+" ") {
			t.Errorf("%s %q is answered %s: %s", name, value, resp.Status, got)
		}
	}
}

func TestReplaysAreRefused(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	mux, runs := counting(s)
	first := push{body: mail, at: time.Now()}
	again := push{body: mail, at: time.Now().Add(time.Second)} // signed anew: still the same attempt
	for i, c := range []struct {
		push push
		want int
	}{{first, 204}, {first, 409}, {again, 409}, {first, 409}} {
		if resp := s.send(mux, c.push); resp.StatusCode != c.want {
			t.Errorf("push %d is answered %s", i, resp.Status)
		}
	}
	for name, value := range map[string]string{webhook.HeaderAttempt: "2", webhook.HeaderIncarnation: "1", webhook.HeaderEpoch: "8"} {
		if resp := s.send(mux, push{body: mail, header: map[string]string{name: value}}); resp.StatusCode != http.StatusNoContent {
			t.Errorf("another %s is answered %s", name, resp.Status)
		}
	}
	if resp := s.send(mux, push{id: "job_2", body: mail}); resp.StatusCode != http.StatusNoContent {
		t.Errorf("another job is answered %s", resp.Status)
	}
	if *runs != 5 {
		t.Errorf("%d runs", *runs)
	}
}

// Bodies that are too large or too slow, over a real connection.
func TestBodiesOnTheWire(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	patient, runs := counting(s, worker.WithMaxBody(1000))
	hasty, hastyRuns := counting(s, worker.WithBodyTimeout(50*time.Millisecond))
	server, hastyServer := httptest.NewServer(patient), httptest.NewServer(hasty)
	defer server.Close()
	defer hastyServer.Close()
	large := strings.Repeat("x", 1001)
	for name, c := range map[string]struct {
		push   push
		length int
		sent   string
		want   string
	}{
		"as it is":               {push{body: mail}, len(mail), mail, "204 No Content"},
		"too large, and says so": {push{body: large}, len(large), "", "413 Request Entity Too Large"},
		"never comes":            {push{body: mail}, len(mail), "", "408 Request Timeout"},
		"stops in its middle":    {push{body: mail}, len(mail), mail[:5], "408 Request Timeout"},
		"never comes, unsigned":  {push{}, -1, "", "401 Unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			to := server
			if c.want == "408 Request Timeout" {
				to = hastyServer
			}
			conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", to.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var b bytes.Buffer
			b.WriteString("POST / HTTP/1.1\r\nHost: worker\r\n")
			if c.length >= 0 {
				s.header(c.push).Write(&b)
			} else {
				c.length = 5
			}
			fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", c.length, c.sent)
			conn.Write(b.Bytes())
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Status != c.want {
				t.Errorf("answered %s: %s", resp.Status, text(t, resp))
			}
		})
	}
	if *runs != 1 || *hastyRuns != 0 {
		t.Errorf("%d runs, and %d of what did not come in time", *runs, *hastyRuns)
	}
}

// A handler outlives the time in which its body has to come.
func TestTheBodyTimeoutIsTheBodysAlone(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	const timeout = time.Second
	mux := worker.NewMux(worker.WithSecrets(s.secret), worker.WithBodyTimeout(timeout))
	worker.Handle(mux, "email.send", func(ctx context.Context, job worker.Job[email]) error {
		if job.ID == "job_1" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(timeout * 3 / 2):
			return nil
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for i := range 2 { // the second on the same connection
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(mail))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = s.header(push{id: fmt.Sprint("job_", i), body: mail})
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, resp); resp.StatusCode != http.StatusNoContent {
			t.Errorf("answered %s: %s", resp.Status, got)
		}
		resp.Body.Close()
	}
}

// A push in which one header or the body was changed never runs.
func FuzzTamperedPush(f *testing.F) {
	s := newSender(f)
	f.Add("webhook-id", "job_2", []byte(mail))
	f.Add("webhook-timestamp", "1e20", []byte(mail))
	f.Add("webhook-signature", "v1,AAAA v1a,AAAA", []byte(mail))
	f.Add("orchestrix-attempt", "2", []byte(mail))
	f.Add("Orchestrix-Signature", " ", []byte(mail))
	f.Add("ORCHESTRIX-KEY", "x", []byte(nil))
	f.Add("content-type", "text/csv", []byte(mail))
	f.Fuzz(func(t *testing.T, name, value string, body []byte) {
		mux, runs := counting(s)
		r := s.request(push{body: mail})
		before, had := r.Header[http.CanonicalHeaderKey(name)]
		same := had && strings.TrimSpace(before[0]) == strings.TrimSpace(value)
		r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if len(body) == 0 {
			r.Body = http.NoBody
		}
		resp := serve(mux, r)
		lower := strings.ToLower(name)
		signed := strings.HasPrefix(lower, webhook.HeaderPrefix) && len(lower) > len(webhook.HeaderPrefix) ||
			lower == webhook.HeaderID || lower == webhook.HeaderTimestamp
		if *runs > 0 && (string(body) != mail || signed && !same && lower != webhook.HeaderOwnSignature) {
			t.Fatalf("ran with %q: %q and %q", name, value, body)
		}
		if *runs == 0 && resp.StatusCode < 400 {
			t.Fatalf("did not run, and answered %s", resp.Status)
		}
	})
}
