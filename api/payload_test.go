package api_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

// Whatever the form of a payload, its bytes are stored, sent and read as they
// are, alone and in a batch.
func TestPayloadForms(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, c := range map[string]struct {
		members, want, contentType string
		shown                      string // the member of the job that has it
	}{
		"text":             {`"body":"a\"b\n\u00e9 \ud83d\ude00"`, "a\"b\né 😀", "text/plain; charset=utf-8", "body"},
		"empty text":       {`"body":""`, "", "text/plain; charset=utf-8", ""},
		"text of a type":   {`"body":"a,b\r\n1,2","content_type":"text/csv"`, "a,b\r\n1,2", "text/csv", "body"},
		"type first":       {`"content_type":"application/x-www-form-urlencoded","body":"a=1&b=2"`, "a=1&b=2", "application/x-www-form-urlencoded", "body"},
		"JSON as text":     {`"body":" { \"a\" : 1 } ","content_type":"application/json"`, ` { "a" : 1 } `, "application/json", "payload"},
		"no JSON at all":   {`"body":"{","content_type":"application/json"`, "{", "application/json", "body"},
		"bytes":            {`"body_base64":"` + base64.StdEncoding.EncodeToString(all) + `"`, string(all), "application/octet-stream", "body_base64"},
		"bytes of a type":  {`"body_base64":"iVBORw==","content_type":"image/png"`, "\x89PNG", "image/png", "body_base64"},
		"escaped slashes":  {`"body_base64":"\/\/8="`, "\xff\xff", "application/octet-stream", "body_base64"},
		"wrapped base64":   {`"body_base64":"YWJj\r\nZGVm\n"`, "abcdef", "application/octet-stream", "body"},
		"no bytes":         {`"body_base64":""`, "", "application/octet-stream", ""},
		"JSON":             {`"payload":{ "a" : 1 },"content_type":"application/cloudevents+json; charset=utf-8"`, `{ "a" : 1 }`, "application/cloudevents+json; charset=utf-8", "payload"},
		"a string of JSON": {`"payload":"text"`, `"text"`, "application/json", "payload"},
		"none":             {`"key":"k"`, "null", "application/json", "payload"},
	} {
		body := `{"type":"t",` + c.members + `}`
		one := s.want(202, "POST", "/v1/jobs", body).text("id")
		batch := s.want(202, "POST", "/v1/jobs/batch", `{"jobs":[{"type":"t","body":"other"},`+body+`]}`)
		for _, id := range []string{one, batch.field("results").([]any)[1].(map[string]any)["id"].(string)} {
			r := request("GET", "/v1/jobs/"+id+"/payload", "")
			if name == "no JSON at all" {
				r.Pattern = "unchecked" // what is called JSON the validator decodes
			}
			a := s.do(r)
			if string(a.body) != c.want || a.header.Get("Content-Type") != c.contentType || a.header.Get("Content-Disposition") != "attachment" ||
				a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s: reads %q, %v", name, a.body, a.header)
			}
			j := s.want(200, "GET", "/v1/jobs/"+id, "")
			if j.text("content_type") != c.contentType || j.field("payload_size") != float64(len(c.want)) {
				t.Errorf("%s: %s", name, j.body)
			}
			for _, member := range []string{"payload", "body", "body_base64"} {
				if (j.field(member) != nil) != (member == c.shown) && c.want != "null" {
					t.Errorf("%s: %s is %v", name, member, j.field(member))
				}
			}
		}
	}
}

func TestPayloadForBadRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	long := `"` + strings.Repeat("x", 250) + `/` + strings.Repeat("y", 6) + `"`
	for members, field := range map[string]string{
		`"payload":1,"body":""`:                                     "body",
		`"body":"","payload":null`:                                  "payload",
		`"body":"a","body_base64":"YQ=="`:                           "body_base64",
		`"body":1`:                                                  "body",
		`"body":null`:                                               "body",
		`"body":{"a":1}`:                                            "body",
		`"body_base64":"YQ"`:                                        "body_base64",
		`"body_base64":"Y"`:                                         "body_base64",
		`"body_base64":"_-=="`:                                      "body_base64",
		`"body_base64":"YQ== YQ=="`:                                 "body_base64",
		`"body_base64":[1]`:                                         "body_base64",
		`"payload":1,"content_type":"text/plain"`:                   "content_type",
		`"content_type":"text/plain"`:                               "content_type",
		`"body":"a","content_type":"text"`:                          "content_type",
		`"body":"a","content_type":""`:                              "content_type",
		`"body":"a","content_type":"text/plain\r\nX-A: b"`:          "content_type",
		`"body":"a","content_type":" text/plain"`:                   "content_type",
		`"body":"a","content_type":` + long:                         "content_type",
		`"method":"PUT"`:                                            "method",
		`"method":"POST"`:                                           "method",
		`"url":"https://example.com","method":"put"`:                "method",
		`"url":"https://example.com","method":"HEAD"`:               "method",
		`"url":"https://example.com","method":"GET\r\nX: y"`:        "method",
		`"url":"https://example.com","method":""`:                   "method",
		`"url":"https://example.com","method":"GET","payload":null`: "payload",
		`"url":"https://example.com","method":"GET","body":""`:      "body",
		`"url":"https://example.com","method":"GET","content_type":"application/json"`:    "content_type",
		`"url":"https://example.com","method":"DELETE","content_type":"application/json"`: "content_type",
	} {
		a := s.want(422, "POST", "/v1/jobs", `{"type":"t",`+members+`}`)
		if fields := a.problem(); !slices.Equal(fields, []string{field}) {
			t.Errorf("%s: names %v: %s", members, fields, a.body)
		}
	}
	if n := s.count(); n != 0 {
		t.Errorf("%d jobs were stored", n)
	}
	s.want(404, "GET", "/v1/jobs/job_00000000000000000000000000/payload", "")
}

// The bound is on the bytes that are sent, not on how they were written.
func TestPayloadFormsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	s := newServer(t)
	for field, write := range map[string]func(n int) string{
		"body":        func(n int) string { return strings.Repeat(`\n`, n) },
		"body_base64": func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, n)) },
	} {
		body := func(n int) string { return fmt.Sprintf(`{"type":"t",%q:"%s"}`, field, write(n)) }
		a := s.want(202, "POST", "/v1/jobs", body(most))
		if j := s.want(200, "GET", "/v1/jobs/"+a.text("id")+"?payload=false", ""); j.field("payload_size") != float64(most) {
			t.Errorf("%s: %s", field, j.body)
		}
		if a := s.want(413, "POST", "/v1/jobs", body(most+1)); !slices.Equal(a.problem(), []string{field}) {
			t.Errorf("%s: %s", field, a.body)
		}
		s.want(413, "POST", "/v1/jobs", body(5*most))
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, c := range []struct {
		members, method, contentType, payload string
	}{
		{``, "POST", "application/json", "null"},
		{`,"method":"POST"`, "POST", "application/json", "null"},
		{`,"method":"PUT","body":"x"`, "PUT", "text/plain; charset=utf-8", "x"},
		{`,"method":"PATCH","payload":{"a":1}`, "PATCH", "application/json", `{"a":1}`},
		{`,"method":"GET"`, "GET", "", ""},
		{`,"method":"DELETE"`, "DELETE", "", ""},
		{`,"method":"DELETE","payload":[1]`, "DELETE", "application/json", "[1]"},
	} {
		id := s.want(202, "POST", "/v1/jobs", `{"type":"t","url":"https://example.com/x","delay":"1h"`+c.members+`}`).text("id")
		j := s.want(200, "GET", "/v1/jobs/"+id, "")
		if j.text("method") != c.method || j.text("content_type") != c.contentType || j.field("payload_size") != float64(len(c.payload)) {
			t.Errorf("%s: %s", c.members, j.body)
		}
		parsed, err := job.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		if stored, err := s.store.Payload(t.Context(), parsed); err != nil || string(stored) != c.payload {
			t.Errorf("%s: stored %q, %v", c.members, stored, err)
		}
	}
	if j := s.want(202, "POST", "/v1/jobs", `{"type":"t"}`); s.want(200, "GET", "/v1/jobs/"+j.text("id"), "").field("method") != nil {
		t.Error("a job for a worker shows a method")
	}
}
