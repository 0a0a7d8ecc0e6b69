package app_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// Bytes and a method go the whole way, from the client to a destination.
func TestBytesAndMethods(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- r.Method + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("Content-Length") + " " + string(body)
	}))
	t.Cleanup(target.Close)
	s := start(t, config(t.TempDir()))
	for want, j := range map[string]client.NewJob{
		"PUT image/x 3 \x00\xff\n":              {Method: "PUT", Body: []byte("\x00\xff\n"), ContentType: "image/x"},
		"POST application/octet-stream 0 ":      {Body: []byte{}},
		"DELETE   ":                             {Method: "DELETE"},
		"GET   ":                                {Method: "GET"},
		"PATCH application/json 4 null":         {Method: "PATCH"},
		"POST application/json 7 {\"a\":1}":     {Payload: map[string]int{"a": 1}},
		"DELETE application/cloud+json 3 \"x\"": {Method: "DELETE", Payload: "x", ContentType: "application/cloud+json"},
	} {
		j.URL = target.URL + "/x?y=z"
		id := s.enqueue(t, j)
		status(t, s.await(t, id), job.Succeeded)
		if is := <-got; is != want {
			t.Errorf("received %q, want %q", is, want)
		}
		if data, _, err := s.JobPayload(deadline(t), id); err != nil || j.Body != nil && string(data) != string(j.Body) {
			t.Errorf("the payload reads %q, %v", data, err)
		}
	}
}
