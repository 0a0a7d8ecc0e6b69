package push

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/orchestrix/orchestrix/job"
)

// What an answer means, row by row of the documented table.
func TestAnswers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	status := func(status string, headers ...string) string {
		lines := append([]string{"HTTP/1.1 " + status}, headers...)
		return crlf(append(lines, "Content-Length: 2", "", "ok")...)
	}
	failed := func(code int, reason job.Reason, text string) Answer {
		return Answer{Outcome: job.OutcomeFailed, Reason: reason, Error: text, StatusCode: code, Body: []byte("ok")}
	}
	succeeded := func(code int) Answer {
		return Answer{Outcome: job.OutcomeSucceeded, StatusCode: code, Body: []byte("ok")}
	}
	throttled := func(code int, text string, wait time.Duration) Answer {
		return Answer{Outcome: job.OutcomeThrottled, Reason: job.ReasonThrottled, Error: text, StatusCode: code, Body: []byte("ok"), RetryAfter: wait}
	}
	with := func(a Answer, change func(a *Answer)) Answer { change(&a); return a }
	for name, c := range map[string]struct {
		answer string
		want   Answer
	}{
		"200":        {status("200 OK"), succeeded(200)},
		"201":        {status("201 Created"), succeeded(201)},
		"202":        {status("202 Accepted"), succeeded(202)},
		"299":        {status("299 Whatever"), succeeded(299)},
		"no phrase":  {status("200"), succeeded(200)},
		"empty one":  {status("200 "), succeeded(200)},
		"204":        {crlf("HTTP/1.1 204 No Content", "", ""), with(succeeded(204), func(a *Answer) { a.Body = nil })},
		"no retry 2": {status("200 OK", "Orchestrix-No-Retry: true", "Retry-After: 9"), succeeded(200)},
		"content type": {
			status("200 OK", "Content-Type: text/csv;charset=latin1"),
			with(succeeded(200), func(a *Answer) { a.ContentType = "text/csv;charset=latin1" }),
		},
		"202 async": {
			status("202 Accepted", "Orchestrix-Async: TRUE"),
			failed(202, job.ReasonAsyncUnsupported, "answered 202 to take the attempt over, but this server has no --public-url to which its end could be reported"),
		},
		"202 async false":   {status("202 Accepted", "orchestrix-async: false"), succeeded(202)},
		"200 async":         {status("200 OK", "orchestrix-async: true"), succeeded(200)},
		"429":               {status("429 Slow"), throttled(429, "answered 429 Too Many Requests", 0)},
		"429 for a while":   {status("429 Slow", "Retry-After: 17"), throttled(429, "answered 429 Too Many Requests", 17*time.Second)},
		"429 until":         {status("429 Slow", "Retry-After: Sun, 01 Mar 2026 12:01:00 GMT"), throttled(429, "answered 429 Too Many Requests", time.Minute)},
		"429 past":          {status("429 Slow", "Retry-After: Sun, 01 Mar 2020 12:01:00 GMT"), throttled(429, "answered 429 Too Many Requests", 0)},
		"503 for a while":   {status("503 Busy", "Retry-After: 3"), throttled(503, "answered 503 Service Unavailable", 3*time.Second)},
		"503 for no time":   {status("503 Busy", "Retry-After: 0"), throttled(503, "answered 503 Service Unavailable", 0)},
		"503":               {status("503 Busy"), failed(503, job.ReasonHTTPStatus, "answered 503 Service Unavailable")},
		"503 for nonsense":  {status("503 Busy", "Retry-After: 1e309"), failed(503, job.ReasonHTTPStatus, "answered 503 Service Unavailable")},
		"503 negative":      {status("503 Busy", "Retry-After: -5"), failed(503, job.ReasonHTTPStatus, "answered 503 Service Unavailable")},
		"429 too long":      {status("429 Slow", "Retry-After: "+repeated("9", 4000)), throttled(429, "answered 429 Too Many Requests", MaxRetryAfter)},
		"410":               {status("410 Gone"), with(failed(410, job.ReasonGone, "answered 410 Gone"), func(a *Answer) { a.Gone = true })},
		"410 never":         {status("410 Gone", "orchestrix-no-retry: true"), with(failed(410, job.ReasonGone, "answered 410 Gone"), func(a *Answer) { a.Gone, a.NoRetry = true, true })},
		"400":               {status("400 Bad"), failed(400, job.ReasonHTTPStatus, "answered 400 Bad Request")},
		"500 after":         {status("500 Oops", "retry-after: 60"), with(failed(500, job.ReasonHTTPStatus, "answered 500 Internal Server Error"), func(a *Answer) { a.RetryAfter = time.Minute })},
		"599":               {status("599 Odd"), failed(599, job.ReasonHTTPStatus, "answered 599")},
		"999":               {status("999 Odd"), failed(999, job.ReasonHTTPStatus, "answered 999")},
		"500 never":         {status("500 Oops", "orchestrix-no-retry: true"), with(failed(500, job.ReasonNoRetry, "answered 500 Internal Server Error and orchestrix-no-retry"), func(a *Answer) { a.NoRetry = true })},
		"500 never, no":     {status("500 Oops", "orchestrix-no-retry: 1"), failed(500, job.ReasonHTTPStatus, "answered 500 Internal Server Error")},
		"429 never":         {status("429 Slow", "orchestrix-no-retry: true"), with(failed(429, job.ReasonNoRetry, "answered 429 Too Many Requests and orchestrix-no-retry"), func(a *Answer) { a.NoRetry = true })},
		"301":               {status("301 Moved", "Location: http://user:pw@other/x?token=s3cret"), failed(301, job.ReasonRedirect, "answered 301 Moved Permanently to http://other/x; redirects are not followed")},
		"308 without":       {status("308 Moved"), failed(308, job.ReasonRedirect, "answered 308 Permanent Redirect; redirects are not followed")},
		"304":               {crlf("HTTP/1.1 304 Not Modified", "Content-Length: 2", "", ""), with(failed(304, job.ReasonRedirect, "answered 304 Not Modified; redirects are not followed"), func(a *Answer) { a.Body = nil })},
		"interim":           {crlf("HTTP/1.1 103 Early Hints", "Link: </x>", "", "HTTP/1.1 100 Continue", "", "") + status("200 OK"), succeeded(200)},
		"header whitespace": {status("500 Oops", "Retry-After:\t 60 \t"), with(failed(500, job.ReasonHTTPStatus, "answered 500 Internal Server Error"), func(a *Answer) { a.RetryAfter = time.Minute })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, answerWith(c.answer, false))
			client := newClient(t, Options{Now: func() time.Time { return now }})
			for range 2 {
				got := client.Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
				c.want.Sent, c.want.Started = true, now
				if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Fatal(diff)
				}
			}
			if n := server.conns.Load(); n != 1 {
				t.Errorf("%d connections for two pushes, want 1", n)
			}
		})
	}
}

func TestAnswerBodies(t *testing.T) {
	t.Parallel()
	full, over := repeated("x", MaxAnswerBody), repeated("x", MaxAnswerBody+1)
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
	length := func(n int) string { return fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", n) }
	for name, c := range map[string]struct {
		answer string
		closes bool
		body   string
		cut    bool
		reused bool
	}{
		"empty":                  {length(0), false, "", false, true},
		"short":                  {length(3) + "abc", false, "abc", false, true},
		"repeated length":        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", false, "abc", false, true},
		"bare line feeds":        {"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", false, "abc", false, true},
		"the limit":              {length(len(full)) + full, false, full, false, true},
		"over the limit":         {length(len(over)) + over, false, full, true, false},
		"huge, never sent":       {length(1<<40) + full, false, full, true, false},
		"chunked":                {chunkedHead + chunk("ab") + chunk("c") + "0\r\n\r\n", false, "abc", false, true},
		"chunked, empty":         {chunkedHead + "0\r\n\r\n", false, "", false, true},
		"chunked, zeros":         {chunkedHead + "000002;a=b\r\nab\r\n0000;x\r\nTrailer: 1\r\nOther: 2\r\n\r\n", false, "ab", false, true},
		"chunked to the limit":   {chunkedHead + chunk(full[:1000]) + chunk(full[1000:]) + "0\r\n\r\n", false, full, false, true},
		"chunked over the limit": {chunkedHead + chunk(full) + chunk("x") + "0\r\n\r\n", false, full, true, false},
		"one chunk too large":    {chunkedHead + "7fffffffffffffff\r\n" + full, false, full, true, false},
		"chunks of one byte":     {chunkedHead + repeated(chunk("x"), MaxAnswerBody) + "0\r\n\r\n", false, full, false, true},
		"to the end":             {"HTTP/1.1 200 OK\r\n\r\nabc", true, "abc", false, false},
		"to the end, too long":   {"HTTP/1.1 200 OK\r\n\r\n" + over, false, full, true, false},
		"to the end, limit":      {"HTTP/1.1 200 OK\r\n\r\n" + full, true, full, false, false},
		"HTTP/1.0":               {"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc", false, "abc", false, false},
		"HTTP/1.0 to the end":    {"HTTP/1.0 200 OK\r\n\r\nabc", true, "abc", false, false},
		"closes":                 {"HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 3\r\n\r\nabc", false, "abc", false, false},
		"gzip is kept":           {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08", false, "\x1f\x8b\x08", false, true},
		"more than promised":     {length(3) + "abcHTTP/1.1 500 Smuggled\r\n\r\n", false, "abc", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveRaw(t, answerWith(c.answer, c.closes))
			client := newClient(t, Options{})
			for range 2 {
				a := client.Push(context.Background(), newRequest(newDestination(t, server.url), "{}"))
				if a.Outcome != job.OutcomeSucceeded || string(a.Body) != c.body || a.Truncated != c.cut {
					t.Fatalf("got %s %q, %d bytes, truncated %v", a.Outcome, a.Error, len(a.Body), a.Truncated)
				}
			}
			if reused := server.conns.Load() == 1; reused != c.reused {
				t.Errorf("connection reused: %v, want %v", reused, c.reused)
			}
		})
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]struct {
		wait time.Duration
		ok   bool
	}{
		"":                               {0, false},
		"0":                              {0, true},
		"120":                            {2 * time.Minute, true},
		"0120":                           {2 * time.Minute, true},
		"86400":                          {MaxRetryAfter, true},
		"86401":                          {MaxRetryAfter, true},
		"4294967297":                     {MaxRetryAfter, true},
		"18446744073709551617":           {MaxRetryAfter, true},
		"1.5":                            {0, false},
		"-1":                             {0, false},
		"+1":                             {0, false},
		"1e309":                          {0, false},
		"NaN":                            {0, false},
		"Infinity":                       {0, false},
		"soon":                           {0, false},
		"Sun, 01 Mar 2026 13:00:00 GMT":  {time.Hour, true},
		"Sunday, 01-Mar-26 13:00:00 GMT": {time.Hour, true},
		"Sun Mar  1 13:00:00 2026":       {time.Hour, true},
		"Sun, 01 Mar 9999 13:00:00 GMT":  {MaxRetryAfter, true},
		"Sun, 01 Mar 1970 13:00:00 GMT":  {0, true},
	} {
		if wait, ok := parseRetryAfter(text, now); wait != want.wait || ok != want.ok {
			t.Errorf("parseRetryAfter(%q) = %s, %v; want %s, %v", text, wait, ok, want.wait, want.ok)
		}
	}
}

// Whatever a worker writes into it, an error stays one short line of text.
func TestErrorTextIsBounded(t *testing.T) {
	t.Parallel()
	for _, location := range []string{repeated("/é", 4000), "\xff\xfe", "http://a@b@c/" + repeated("x", 4000), "http://\u0085/\t"} {
		a := Answer{}
		a.judge(&head{status: http.StatusFound, location: location}, &Request{}, time.Now())
		if len(a.Error) > job.MaxErrorKept || !utf8.ValidString(a.Error) || strings.ContainsAny(a.Error, "\r\n\t\u0085@") {
			t.Errorf("got %q", a.Error)
		}
	}
	if got := cutText(repeated("é", 1000), 99); len(got) > 99 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("got %q", got)
	}
}
