package job_test

import (
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

func TestCheckContentType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text     string
		ok, json bool
	}{
		{"application/json", true, true},
		{"Application/JSON", true, true},
		{"application/json; charset=utf-8", true, true},
		{"application/cloudevents+json", true, true},
		{"text/plain; charset=utf-8", true, false},
		{`multipart/form-data; boundary="a b"`, true, false},
		{"application/x-www-form-urlencoded", true, false},
		{"application/octet-stream", true, false},
		{"a/" + strings.Repeat("b", 254), true, false},
		{"a/" + strings.Repeat("b", 255), false, false},
		{"", false, false},
		{"json", false, false},
		{"x+json", false, false},
		{"text/", false, false},
		{"/plain", false, false},
		{"text/plain;", true, false},
		{"text/plain; charset", false, false},
		{"text/plain; a=b; a=c", false, false},
		{"text/plain, text/csv", false, false},
		{" text/plain", false, false},
		{"text/plain ", false, false},
		{"text/plain\r\nX-Evil: 1", false, false},
		{"text/plain\t; a=b", false, false},
		{"text/plain; a=\x00", false, false},
		{"text/pläin", false, false},
		{"*/*", true, false},
	} {
		if got := job.CheckContentType(c.text) == ""; got != c.ok {
			t.Errorf("CheckContentType(%.40q) = %q", c.text, job.CheckContentType(c.text))
		}
		if got := job.IsJSON(c.text); got != c.json {
			t.Errorf("IsJSON(%.40q) = %t", c.text, got)
		}
	}
}
