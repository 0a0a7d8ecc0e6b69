package worker_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
)

// secret is that of the examples.
var secret = webhook.NewSecret()

// pushTo does what a server does, and prints the answer.
func pushTo(mux *worker.Mux, jobType, payload string) {
	examplePush(mux, push{jobType: jobType, body: payload})
}

func pushAttempt(mux *worker.Mux, jobType string, attempt int) {
	examplePush(mux, push{jobType: jobType, body: "null", header: map[string]string{webhook.HeaderAttempt: strconv.Itoa(attempt)}})
}

var exampleEpoch = 0

func examplePush(mux *worker.Mux, p push) {
	signer, err := webhook.NewSigner(secret)
	if err != nil {
		panic(err)
	}
	if exampleEpoch++; p.header == nil {
		p.header = map[string]string{webhook.HeaderEpoch: strconv.Itoa(exampleEpoch)}
	}
	resp := (&sender{secret, signer}).send(mux, p)
	text := fmt.Sprint("answered ", resp.StatusCode)
	if resp.Header.Get(webhook.HeaderNoRetry) != "" {
		text += " and " + webhook.HeaderNoRetry
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		text += " and retry-after " + after
	}
	if body, _ := io.ReadAll(resp.Body); len(body) > 0 {
		text += ": " + strings.TrimSpace(string(body))
	}
	fmt.Println(text)
}

// Every block of Go in the documentation stands in an example or a test, which is
// compiled, and mostly run.
func TestDocumentedCode(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/workers-go.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*/*example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var compiled strings.Builder
	for _, name := range append(files, "example_test.go") {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		compiled.WriteString(flat(source))
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(blocks) == 0 || len(blocks) != bytes.Count(page, []byte("```go")) {
		t.Fatalf("%d blocks were understood", len(blocks))
	}
	for _, block := range blocks {
		if code := flat(block[1]); !strings.Contains(compiled.String(), code) {
			t.Errorf("nothing compiles this:\n%s", code)
		}
	}
}

// flat returns lines without their indentation, and no empty ones.
func flat(source []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(source)) {
		if line = strings.TrimSpace(line); line != "" {
			out.WriteString("\n" + line)
		}
	}
	return out.String()
}
