// Command make fills the data directory of a server and packs it, for the test
// that opens it with a later version (TestGolden in package app). It speaks plain
// HTTP, so that it works with the program of any version.
//
//	go run ./app/testdata/golden/make -program ./orchestrix -inbox ./inbox -commit 87e5507 -out app/testdata/golden/first-light.tar.gz
//
// The server is killed while a push of its hangs. inbox is the program beside
// this one, built in the source tree of the same commit.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	rootKey = "ox_4p2gzuvsqwrx_lcwd2ls4e453z3fvqbyacal2s5qf5ygba2a153"
	secret  = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// golden is what the test holds against the directory.
type golden struct {
	Commit  string                     `json:"commit"`
	Made    time.Time                  `json:"made"`
	RootKey string                     `json:"root_key"`
	Secret  string                     `json:"secret"`
	Keys    map[string]json.RawMessage `json:"keys"`
	Workers map[string]json.RawMessage `json:"workers"`
	Queues  map[string]json.RawMessage `json:"queues"`
	// Signing are the server's own keys.
	Signing json.RawMessage `json:"signing"`
	// Jobs are by the label that they have as name.
	Jobs map[string]json.RawMessage `json:"jobs"`
	// Sent are the bodies that they were enqueued with, to the byte.
	Sent map[string]string `json:"sent"`
}

var hung = make(chan struct{}, 1)

func answer(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	switch kind := r.Header.Get("orchestrix-job-type"); kind {
	case "long":
		fmt.Fprintf(w, `{"text":%q}`, strings.Repeat("golden ", 9000))
	case "text":
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "plain text \u00e9")
	case "bytes":
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write([]byte{0, 1, 2, 0xff})
	case "fail":
		http.Error(w, `{"error":"not today"}`, http.StatusInternalServerError)
	case "fatal":
		w.WriteHeader(http.StatusUnprocessableEntity)
	case "throttled":
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	case "hang":
		hung <- struct{}{}
		<-r.Context().Done()
	default:
		fmt.Fprintf(w, `{"done":%q}`, kind)
	}
}

var base string

func call(method, path, body string) json.RawMessage {
	q, err := http.NewRequest(method, base+path, strings.NewReader(body))
	check(err)
	q.Header.Set("Authorization", "Bearer "+rootKey)
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	check(err)
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	check(err)
	if a.StatusCode >= 300 {
		log.Fatalf("%s %s: %d %s", method, path, a.StatusCode, data)
	}
	return bytes.TrimSpace(data)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// jobs are enqueued in this order; until says with which shown status the next
// step may be taken.
var jobs = []struct{ name, body, until string }{
	{"succeeded", `{"queue":"mail","type":"ok","payload":{"to":"ada@example.com","n":1.50},"key":"customer-42","priority":"high","labels":{"name":"succeeded","customer":"42"},"headers":{"X-Trace":"abc"},"timeout":"20s","idempotency_key":"mail-1"}`, "succeeded"},
	{"long", `{"queue":"mail","type":"long","labels":{"name":"long"},"payload":"` + strings.Repeat("p", 3000) + `"}`, "succeeded"},
	{"text", `{"queue":"mail","type":"text","labels":{"name":"text"},"payload":[1,2,3]}`, "succeeded"},
	{"bytes", `{"queue":"mail","type":"bytes","labels":{"name":"bytes"},"content_type":"application/cloudevents+json"}`, "succeeded"},
	{"adhoc", `{"queue":"calls","type":"ok","url":"URL/adhoc?x=1","labels":{"name":"adhoc"},"payload":{"a":"\u00e9"}}`, "succeeded"},
	{"dead", `{"queue":"mail","type":"fail","retry":{"max_attempts":2,"backoff":"fixed","initial_delay":"1ms","jitter":"none"},"labels":{"name":"dead"}}`, "dead"},
	{"fatal", `{"queue":"mail","type":"fatal","retry":{"fatal_statuses":[422]},"labels":{"name":"fatal"}}`, "dead"},
	{"redriven", `{"queue":"mail","type":"ok","labels":{"name":"redriven"}}`, "succeeded"},
	{"retrying", `{"queue":"mail","type":"fail","retry":{"max_attempts":5,"backoff":"list","delays":["7d"],"jitter":"none"},"labels":{"name":"retrying"},"key":"k"}`, "retrying"},
	{"cancelled", `{"queue":"held","type":"ok","labels":{"name":"cancelled"}}`, "pending"},
	{"expired", `{"queue":"held","type":"ok","expires_at":"SOON","labels":{"name":"expired"}}`, "expired"},
	{"delayed", `{"queue":"mail","type":"ok","delay":"3650d","labels":{"name":"delayed"},"payload":{"later":true},"idempotency_key":"later-1"}`, "scheduled"},
	{"timed", `{"queue":"calls","type":"ok","url":"http://127.0.0.1:1/none","run_at":"2035-01-02T03:04:05Z","labels":{"name":"timed"}}`, "scheduled"},
	{"critical", `{"queue":"held","type":"ok","priority":"critical","labels":{"name":"critical"},"payload":1}`, "pending"},
	{"low", `{"queue":"held","type":"ok","priority":"low","key":"a","labels":{"name":"low"},"payload":2,"idempotency_key":"held-1"}`, "pending"},
	{"unserved", `{"queue":"nobody","type":"ok","labels":{"name":"unserved"},"payload":{"big":"` + strings.Repeat("x", 50_000) + `"}}`, "pending"},
	{"commanded", `{"queue":"mail","type":"ok","delay":"3650d","labels":{"name":"commanded"}}`, "scheduled"},
	{"running", `{"queue":"slow","type":"hang","labels":{"name":"running"},"payload":{"in":"flight"}}`, "running"},
	{"throttled", `{"queue":"slow","type":"throttled","labels":{"name":"throttled"}}`, "retrying|scheduled|pending"},
}

func main() {
	program := flag.String("program", "", "the orchestrix program")
	inbox := flag.String("inbox", "", "the inbox program")
	commit := flag.String("commit", "", "the commit that they were built from")
	out := flag.String("out", "", "the archive to write")
	flag.Parse()
	dir, err := os.MkdirTemp("", "golden")
	check(err)
	defer os.RemoveAll(dir)

	worker := httptest.NewServer(http.HandlerFunc(answer))
	defer worker.CloseClientConnections()
	server := exec.Command(*program, "serve", "--store", "embedded:"+dir, "--listen", "127.0.0.1:0", "--shards", "4",
		"--allow-cidr", "127.0.0.0/8", "--output", "json")
	server.Env = append(os.Environ(), "ORCHESTRIX_ROOT_KEY="+rootKey)
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	check(err)
	check(server.Start())
	defer server.Process.Kill()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	check(err)
	var listening struct{ URL string }
	check(json.Unmarshal(line, &listening))
	base = listening.URL

	g := golden{
		Commit: *commit, RootKey: rootKey, Secret: secret, Keys: map[string]json.RawMessage{}, Workers: map[string]json.RawMessage{},
		Queues: map[string]json.RawMessage{}, Jobs: map[string]json.RawMessage{}, Sent: map[string]string{},
	}
	configure(&g, worker.URL)
	ids := enqueue(&g, worker.URL)
	for _, name := range []string{"mailer", "slow", "off"} {
		// The next owner must not push to whoever has the port by then.
		call("PATCH", "/v1/workers/"+name, `{"url":"http://127.0.0.1:1/"}`)
	}
	collect(&g, ids)
	check(server.Process.Kill())
	server.Wait()
	if output, err := exec.Command(*inbox, dir, ids["commanded"]).CombinedOutput(); err != nil {
		log.Fatalf("inbox: %v: %s", err, output)
	}
	g.Made = time.Now().UTC().Truncate(time.Second)
	want, err := json.Marshal(g)
	check(err)
	pack(dir, want, *out)
}

func configure(g *golden, worker string) {
	call("PUT", "/v1/workers/mailer", fmt.Sprintf(`{"url":"%s/mail?token=1","queues":["mail","held"],"concurrency":3,"timeout":"15s","weight":2,
		"headers":{"X-Api-Key":"s3cret","X-Plain":"yes"},"on_gone":"ignore","description":"golden","labels":{"team":"a"},"signing_secret":%q}`, worker, secret))
	call("PUT", "/v1/workers/slow", fmt.Sprintf(`{"url":"%s/slow","queues":["slow"],"signing_secret":%q}`, worker, secret))
	call("PUT", "/v1/workers/off", fmt.Sprintf(`{"url":"%s/off","queues":["off"],"signing_secret":%q}`, worker, secret))
	call("POST", "/v1/workers/off/pause", `{"reason":"golden"}`)
	call("PUT", "/v1/queues/mail", `{"concurrency":7,"description":"mails","retry":{"max_attempts":4,"backoff":"linear","initial_delay":"2s","max_delay":"1m","jitter":"equal"}}`)
	call("POST", "/v1/queues/held/pause", `{"reason":"golden"}`)
	g.Keys["reader"] = call("POST", "/v1/api-keys", `{"name":"reader","scopes":["read"]}`)
	g.Keys["writer"] = call("POST", "/v1/api-keys", `{"name":"writer","scopes":["jobs:write@held"]}`)
}

func enqueue(g *golden, worker string) map[string]string {
	ids := map[string]string{}
	for _, j := range jobs {
		body := strings.ReplaceAll(j.body, "URL", worker)
		body = strings.ReplaceAll(body, "SOON", time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano))
		g.Sent[j.name] = body
		var made struct{ ID string }
		check(json.Unmarshal(call("POST", "/v1/jobs", body), &made))
		ids[j.name] = made.ID
		if j.name == "expired" {
			continue // the queue is paused: it expires once that is over
		}
		if j.name == "running" {
			<-hung
		}
		await(made.ID, j.until)
	}
	call("POST", "/v1/jobs/"+ids["cancelled"]+"/cancel", "")
	call("POST", "/v1/jobs/"+ids["redriven"]+"/retry", "")
	await(ids["redriven"], "succeeded")
	time.Sleep(1500 * time.Millisecond) // past the expired one's time
	return ids
}

func await(id, until string) {
	for range 100 {
		var is struct{ Status string }
		check(json.Unmarshal(call("GET", "/v1/jobs/"+id+"?payload=false", ""), &is))
		for _, status := range strings.Split(until, "|") {
			if is.Status == status {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	log.Fatalf("%s did not become %s: %s", id, until, call("GET", "/v1/jobs/"+id, ""))
}

func collect(g *golden, ids map[string]string) {
	for name, id := range ids {
		g.Jobs[name] = call("GET", "/v1/jobs/"+id, "")
	}
	for _, name := range []string{"mailer", "slow", "off"} {
		g.Workers[name] = call("GET", "/v1/workers/"+name, "")
	}
	for _, name := range []string{"mail", "held", "slow", "calls", "nobody"} {
		g.Queues[name] = call("GET", "/v1/queues/"+name, "")
	}
	g.Signing = call("GET", "/v1/signing-keys", "")
}

// pack writes want.json, and the files of dir below data.
func pack(dir string, want []byte, name string) {
	f, err := os.Create(name)
	check(err)
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	check(err)
	w := tar.NewWriter(z)
	add := func(name string, data []byte) {
		check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}))
		_, err := w.Write(data)
		check(err)
	}
	add("want.json", want)
	check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		add("data/"+filepath.ToSlash(strings.TrimPrefix(path, dir+"/")), data)
		return nil
	}))
	check(w.Close())
	check(z.Close())
	check(f.Close())
}
