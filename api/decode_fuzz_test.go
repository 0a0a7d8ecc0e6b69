package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// oracleJob is what encoding/json reads of a job, with reflection.
type oracleJob struct {
	Queue          string            `json:"queue"`
	Type           string            `json:"type"`
	Payload        json.RawMessage   `json:"payload"`
	ContentType    string            `json:"content_type"`
	Key            string            `json:"key"`
	Priority       string            `json:"priority"`
	Delay          job.Duration      `json:"delay"`
	RunAt          time.Time         `json:"run_at"`
	ExpiresAt      time.Time         `json:"expires_at"`
	Timeout        job.Duration      `json:"timeout"`
	Retry          job.Policy        `json:"retry"`
	IdempotencyKey string            `json:"idempotency_key"`
	Labels         map[string]string `json:"labels"`
	Headers        map[string]string `json:"headers"`
	URL            string            `json:"url"`
	Method         string            `json:"method"`
	Body           *string           `json:"body"`
	BodyBase64     *[]byte           `json:"body_base64"`
	Unique         *job.Unique       `json:"unique"`
}

// content returns the payload, in whichever form it was given.
func (o *oracleJob) content() ([]byte, control.Form) {
	switch {
	case o.Body != nil:
		return []byte(*o.Body), control.FormText
	case o.BodyBase64 != nil:
		return *o.BodyBase64, control.FormBinary
	}
	return o.Payload, control.FormJSON
}

// checkDecoder holds the decoder against encoding/json: what it accepts, that
// accepts with the same meaning; what it calls malformed, that does too, but for
// what the decoder refuses beyond JSON.
func checkDecoder(t *testing.T, body []byte) {
	t.Helper()
	var n control.NewJob
	err := decode(&jobObject, body, false, &n)
	if p := new(Problem); errors.As(err, &p) && p.Status == http.StatusBadRequest {
		beyond := !utf8.Valid(body) || bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) || strings.Contains(p.Detail, "deeper")
		if json.Valid(body) && !beyond {
			t.Fatalf("%q is valid JSON, and refused: %v", body, p)
		}
		return
	}
	if !json.Valid(body) {
		t.Fatalf("%q is not valid JSON, and was answered with %v", body, err)
	}
	if err != nil {
		return
	}
	var want oracleJob
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&want); err != nil {
		t.Fatalf("%q was accepted, which encoding/json refuses: %v", body, err)
	}
	data, form := want.content()
	if !bytes.Equal(n.Payload, data) || (n.Payload == nil) != (data == nil) || n.Form != form {
		t.Fatalf("%q has the payload %q (%s), by encoding/json %q (%s)", body, n.Payload, n.Form, data, form)
	}
	want.Payload, want.Body, want.BodyBase64 = n.Payload, nil, nil
	got := oracleJob{
		n.Queue, n.Type, n.Payload, n.ContentType, n.Key, n.Priority, n.Delay, n.RunAt, n.ExpiresAt, n.Timeout,
		n.Retry, n.IdempotencyKey, n.Labels, n.Headers, n.URL, n.Method, nil, nil, n.Unique,
	}
	want.RunAt, want.ExpiresAt = want.RunAt.UTC(), want.ExpiresAt.UTC()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q was read as\n%+v, by encoding/json as\n%+v", body, got, want)
	}
}

var decoderSeeds = []string{
	`{"type":"t"}`, `{"type":"t","payload":{"a":[1,2,{"b":null}]}}`, ` { "type" : "t" , "payload" : "\u00e9\ud83d\ude00" } `,
	`{"queue":"q","type":"a.b/c:d","key":"k\n","priority":"high","delay":"1m30s","run_at":"2027-01-01T00:00:00.5+02:00","expires_at":"2028-01-01T00:00:00Z"}`,
	`{"type":"t","timeout":"10s","retry":{"max_attempts":3,"factor":1.5e0,"delays":["1s","2d"],"fatal_statuses":[400,422],"backoff":"list","jitter":"none","max_delay":"1h"}}`,
	`{"type":"t","labels":{"a":"1","b":""},"headers":{"x-y":"z"},"url":"https://example.com/?a=b","idempotency_key":"i","content_type":"application/x+json"}`,
	`{"type":"t","body":"a\"b\nc\u00e9"}`, `{"type":"t","body":""}`, `{"type":"t","body_base64":"AAH/\/w=="}`, `{"type":"t","body_base64":"YQ\r\n==","content_type":"a/b"}`,
	`{"type":"t","body":"a","payload":1}`, `{"type":"t","body_base64":"","body":""}`, `{"type":"t","body":1}`, `{"type":"t","url":"u","method":"PUT"}`,
	`{"type":"t","unique":{}}`, `{"type":"t","unique":{"by":["key","type"],"until":"ttl","ttl":"1h","on_conflict":"replace"}}`, `{"type":"t","unique":{"by":[]}}`,
	`{"type":"t","type":"t"}`, `{"TYPE":"t"}`, `{"type":1}`, `[]`, `null`, `{`, `{"type":"t"}x`, `{"type":"\ud83d"}`, `{"retry":{"max_attempts":1e3}}`, `{"\u0074ype":"t"}`,
}

func TestDecoderAgainstOracle(t *testing.T) {
	t.Parallel()
	for _, seed := range decoderSeeds {
		checkDecoder(t, []byte(seed))
		for i := range seed { // cut and garbled in every place
			checkDecoder(t, []byte(seed[:i]))
			checkDecoder(t, []byte(seed[:i]+"\""+seed[i+1:]))
			checkDecoder(t, []byte(seed[:i]+"\xff"+seed[i:]))
		}
	}
}

func FuzzJobDecoder(f *testing.F) {
	for _, seed := range decoderSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkDecoder(t, body) })
}

// FuzzBatchDecoder wants a batch to be read as its jobs are, each by itself.
func FuzzBatchDecoder(f *testing.F) {
	for _, seed := range decoderSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var alone control.NewJob
		err := decode(&jobObject, body, false, &alone)
		s := new(scratch)
		s.body.WriteString(`{"jobs":[{"type":"first"},`)
		s.body.Write(body)
		s.body.WriteString(`]}`)
		b := s.batch()
		malformed := b.reader.end() != nil
		if p := new(Problem); errors.As(err, &p) && p.Status == http.StatusBadRequest {
			return // as a part of a batch it may mean something else: "1,2", say
		}
		if deep := bytes.Count(body, []byte("[")) + bytes.Count(body, []byte("{")); malformed && deep < 60 {
			t.Fatalf("%q is a job alone (%v) and malformed in a batch", body, err)
		}
		if err == nil && !malformed && (len(b.jobs) != 2 || !reflect.DeepEqual(withoutDigest(b.jobs[1]), alone)) {
			t.Fatalf("%q alone is %+v, in a batch %+v", body, alone, b.jobs)
		}
		if err != nil && b.faults[1] == nil {
			t.Fatalf("%q alone is refused (%v), in a batch it is not", body, err)
		}
	})
}

func withoutDigest(n control.NewJob) control.NewJob {
	n.Digest = [32]byte{}
	return n
}
