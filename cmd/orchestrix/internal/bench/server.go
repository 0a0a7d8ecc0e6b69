package bench

import (
	"context"
	"encoding/json"
	"os"

	"github.com/orchestrix/orchestrix/client"
)

// server is a coordinator in a process of its own, on an empty directory of its
// own.
type server struct {
	*process
	api *client.Client
	dir string
	// batch and single post to it, over connections of their own.
	batch, single func(ctx context.Context, body []byte) error
}

// singleConnections is how many connections single POSTs keep open: more than
// an open loop has under way unless the server stands still.
const singleConnections = 128

// startServer starts one with its directory in parent.
func startServer(ctx context.Context, executable, parent string) (*server, error) {
	dir, err := os.MkdirTemp(parent, "orchestrix-bench-")
	if err != nil {
		return nil, err
	}
	return startServerOn(ctx, executable, "embedded:"+dir, dir)
}

// startServerOn starts one on that store; dir is removed when it is stopped.
func startServerOn(ctx context.Context, executable, store, dir string) (*server, error) {
	p, err := start(ctx, executable, serverURL, "serve", "-o", "json", "--store", store,
		"--listen", "127.0.0.1:0", "--allow-cidr", "127.0.0.0/8", "--log-level", "warn", "--drain-grace", "5s")
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	s := &server{
		process: p, dir: dir,
		batch: poster(posters, p.url+"/v1/jobs/batch"), single: poster(singleConnections, p.url+"/v1/jobs"),
	}
	if s.api, err = client.New(p.url, client.WithRetries(0)); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// stop ends the server and removes its directory.
func (s *server) stop() {
	s.process.stop()
	os.RemoveAll(s.dir)
}

// startWorker starts a worker that knows the secret.
func startWorker(ctx context.Context, executable, secret string) (*process, error) {
	return start(ctx, executable, checkURL, "bench", "worker", "--secret", secret)
}

// serverURL reads the first line of serve -o json.
func serverURL(line string) (string, error) {
	var said struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		return "", err
	}
	return checkURL(said.URL)
}

func checkURL(text string) (string, error) {
	if _, err := client.New(text); err != nil {
		return "", err
	}
	return text, nil
}
