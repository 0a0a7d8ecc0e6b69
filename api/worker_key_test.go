package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// publicKeys returns the public keys that an answer shows.
func publicKeys(t *testing.T, a *answer) []webhook.PublicKey {
	t.Helper()
	if strings.Contains(string(a.body), "whsk_") {
		t.Errorf("a private key is shown: %s", a.body)
	}
	var out []webhook.PublicKey
	list, _ := a.field("public_keys").([]any)
	for _, text := range list {
		key, err := webhook.ParsePublicKey(fmt.Sprint(text))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, key)
	}
	return out
}

func TestWorkerKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	put := func(status int, key string) *answer {
		t.Helper()
		return s.want(status, "PUT", "/v1/workers/w", `{"url":"http://127.0.0.1:1/","queues":["q"]`+key+`}`)
	}
	if keys := publicKeys(t, put(201, "")); len(keys) != 0 {
		t.Errorf("a worker that asked for none has %v", keys)
	}
	if a := s.want(409, "POST", "/v1/workers/w/rotate-key", ""); a.text("code") != "no_signing_key" {
		t.Errorf("nothing to rotate: %s", a.body)
	}
	made := publicKeys(t, put(200, `,"signing_key":"generate"`))
	if len(made) != 1 || !slices.Equal(made, publicKeys(t, put(200, `,"signing_key":"generate"`))) || !slices.Equal(made, publicKeys(t, put(200, ""))) {
		t.Error("the key made is not kept by a PUT that is repeated, or does not name it")
	}
	own := webhook.NewPrivateKey()
	if keys := publicKeys(t, s.want(200, "PATCH", "/v1/workers/w", `{"signing_key":"`+own.Reveal()+`"}`)); !slices.Equal(keys, []webhook.PublicKey{own.Public()}) {
		t.Errorf("a given key: %v", keys)
	}
	next := webhook.NewPrivateKey()
	if keys := publicKeys(t, s.want(200, "POST", "/v1/workers/w/rotate-key", `{"grace":"1h","signing_key":"`+next.Reveal()+`"}`)); !slices.Equal(keys, []webhook.PublicKey{next.Public(), own.Public()}) {
		t.Errorf("rotated: %v", keys)
	}
	if keys := publicKeys(t, s.want(200, "GET", "/v1/workers/w", "")); len(keys) != 2 {
		t.Errorf("read: %v", keys)
	}
	for _, c := range [][3]string{
		{"PATCH", "", `{"signing_key":"whsk_x"}`},
		{"PATCH", "", `{"signing_key":"` + webhook.NewSecret().Reveal() + `"}`},
		{"POST", "/rotate-key", `{"signing_key":"none"}`},
		{"POST", "/rotate-key", `{"signing_key":""}`},
	} {
		if a := s.want(422, c[0], "/v1/workers/w"+c[1], c[2]); !slices.Equal(a.problem(), []string{"signing_key"}) {
			t.Errorf("%s: %s", c[2], a.body)
		}
	}
	if keys := publicKeys(t, put(200, `,"signing_key":"none"`)); len(keys) != 0 {
		t.Errorf("taken away: %v", keys)
	}
}

// TestKeyRotationSigns: a worker that knows the public key alone verifies its
// pushes, under the old key until the grace has ended and under the new one.
func TestKeyRotationSigns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	type received struct {
		header http.Header
		body   []byte
	}
	pushes := make(chan received, 100)
	worker := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			pushes <- received{r.Header, body}
		}
	}))
	t.Cleanup(worker.Close)
	verifies := func(key webhook.PublicKey) bool {
		t.Helper()
		s.want(202, "POST", "/v1/jobs", `{"type":"t","queue":"q","payload":{"a":1}}`)
		select {
		case p := <-pushes:
			return (&webhook.Verifier{PublicKeys: []webhook.PublicKey{key}}).Verify(p.header, p.body) == nil
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was pushed")
			return false
		}
	}
	old := publicKeys(t, s.want(201, "PUT", "/v1/workers/w", `{"url":"`+worker.URL+`","queues":["q"],"signing_key":"generate"}`))[0]
	if !verifies(old) {
		t.Error("a push does not verify by the public key")
	}
	keys := publicKeys(t, s.want(200, "POST", "/v1/workers/w/rotate-key", `{"grace":"1s"}`))
	if !verifies(old) || !verifies(keys[0]) {
		t.Error("a push within the grace does not verify by both keys")
	}
	for end := time.Now().Add(20 * time.Second); verifies(old); {
		if time.Now().After(end) {
			t.Fatal("the old key still signs")
		}
	}
	if !verifies(keys[0]) {
		t.Error("the new key does not sign")
	}
}
