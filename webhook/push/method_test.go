package push

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// The method is the request's; without a body GET and DELETE have no content, the
// others a content of no bytes. The signature is of the same things for all.
func TestMethods(t *testing.T) {
	t.Parallel()
	type seen struct {
		method, body string
		header       http.Header
	}
	got := make(chan seen, 1)
	server := serveRaw(t, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			q, body := w.readRequest(r)
			if q == nil {
				return
			}
			got <- seen{q.Method, string(body), q.Header}
			io.WriteString(c, okAnswer)
		}
	})
	secret := webhook.NewSecret()
	client := newClient(t, Options{})
	for _, c := range []struct {
		method, body        string
		length, contentType string
		want                string
	}{
		{"", "{}", "2", "application/json", "POST"},
		{"POST", "", "0", "application/json", "POST"},
		{"PUT", "x", "1", "application/json", "PUT"},
		{"PATCH", "", "0", "application/json", "PATCH"},
		{"DELETE", "x", "1", "application/json", "DELETE"},
		{"DELETE", "", "", "", "DELETE"},
		{"GET", "", "", "", "GET"},
		{"PUT", strings.Repeat("x", 3*maxInline), "49152", "application/json", "PUT"},
	} {
		d, err := NewDestination(DestinationConfig{URL: server.url, Method: c.method, Secrets: []webhook.Secret{secret}})
		if err != nil {
			t.Fatal(err)
		}
		if a := client.Push(context.Background(), newRequest(d, c.body)); a.Outcome != job.OutcomeSucceeded {
			t.Fatalf("%s: %+v", c.method, a)
		}
		s := <-got
		if s.method != c.want || s.body != c.body || s.header.Get("Content-Length") != c.length || s.header.Get("Content-Type") != c.contentType {
			t.Errorf("%s with %.10q: %s, %.10q, %v", c.method, c.body, s.method, s.body, s.header)
		}
		verifier := webhook.Verifier{Secrets: []webhook.Secret{secret}}
		if err := verifier.Verify(s.header, []byte(s.body)); err != nil {
			t.Errorf("%s: %v", c.method, err)
		}
	}
	if n := server.conns.Load(); n != 1 {
		t.Errorf("%d connections, want one that is kept whatever the method", n)
	}
	for _, method := range []string{"HEAD", "CONNECT", "get", "GET / HTTP/1.1\r\nX:"} {
		if _, err := NewDestination(DestinationConfig{URL: server.url, Method: method, Secrets: []webhook.Secret{secret}}); err == nil {
			t.Errorf("%q was accepted", method)
		}
	}
}
