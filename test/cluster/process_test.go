package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/cluster"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
	"github.com/orchestrix/orchestrix/webhook"
)

// serveStore in the environment makes this binary a node on that store.
const serveStore = "CLUSTER_SERVE_STORE"

const shards = 16

func TestMain(m *testing.M) {
	if url := os.Getenv(serveStore); url != "" {
		if err := serve(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := redistest.End(); err != nil {
			panic(err)
		}
		os.Exit(code)
	}))
}

// serve prints its URL and serves until SIGTERM.
func serve(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := app.Defaults()
	c.Store, c.Listen, c.Shards = url, "127.0.0.1:0", shards
	c.AllowCIDR = []string{"127.0.0.0/8", "::1/128"}
	c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	a, err := app.New(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println(a.URL())
	return a.Run(ctx)
}

// node is a process of its own.
type node struct {
	*client.Client
	url string
	cmd *exec.Cmd
}

func startNode(t *testing.T, store string) *node {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveStore+"="+store)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &node{cmd: cmd}
	t.Cleanup(n.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the node did not say where it listens: %v", err)
	}
	n.url = strings.TrimSpace(line)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	if n.Client, err = client.New(n.url, client.WithHTTPClient(&http.Client{Transport: transport})); err != nil {
		t.Fatal(err)
	}
	return n
}

// kill ends the process as a power cut would. It may be called again.
func (n *node) kill() {
	if n.cmd.ProcessState == nil {
		n.cmd.Process.Kill()
		n.cmd.Wait() // its error says that it was killed
	}
}

func (n *node) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ready asks the node whether it is.
func (n *node) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// nodes are several nodes on one store, with one worker for all queues.
type nodes struct {
	t      *testing.T
	ctx    context.Context
	all    []*node
	member *cluster.Member // only to look
	worker *worker
	queues []string
}

// start runs n nodes until each is ready and serves its part of the shards.
func start(t *testing.T, n int, answer http.HandlerFunc) *nodes {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	server := redistest.Start(t)
	c := &nodes{t: t, ctx: ctx, worker: startWorker(t, answer)}
	for range n {
		c.all = append(c.all, startNode(t, server.URL("")))
	}
	target, err := redis.Parse(server.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	e, err := redis.Open(ctx, target, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	c.member = cluster.New(cluster.Options{Store: store.New(e)})
	for i := range 2 * shards {
		c.queues = append(c.queues, "q"+strconv.Itoa(i))
	}
	if _, err := c.all[0].PutWorker(ctx, "w", client.WorkerConfig{URL: c.worker.URL, Queues: c.queues, SigningSecret: c.worker.secret.Reveal()}); err != nil {
		t.Fatal(err)
	}
	c.until("all nodes are ready", func() bool {
		return !slices.ContainsFunc(c.all, func(n *node) bool { return !n.ready(ctx) })
	})
	c.untilServed()
	return c
}

// untilServed waits until the shards are served as they are placed on the nodes
// that live.
func (c *nodes) untilServed() {
	c.t.Helper()
	c.until("each node serves its part", func() bool {
		nodes, err := c.member.Nodes(c.ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		nodes = slices.DeleteFunc(nodes, func(n cluster.Node) bool { return !n.Alive || n.Leaving })
		placed := cluster.Place(shards, nodes)
		served := make([]string, shards)
		for _, n := range nodes {
			for _, shard := range n.Shards {
				served[shard] += n.ID
			}
		}
		return len(nodes) > 0 && slices.Equal(placed, served)
	})
}

// owned returns the queues of the shards that a node serves.
func (c *nodes) owned(n *node) (queues []string) {
	c.t.Helper()
	all, err := c.member.Nodes(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(other cluster.Node) bool { return other.Address == n.url })
	if at < 0 {
		c.t.Fatalf("%s has no record", n.url)
	}
	for _, q := range c.queues {
		if slices.Contains(all[at].Shards, job.ShardOf(q, shards)) {
			queues = append(queues, q)
		}
	}
	if len(queues) == 0 {
		c.t.Fatalf("%s serves nothing", n.url)
	}
	return queues
}

// until waits until it is so.
func (c *nodes) until(what string, so func() bool) {
	c.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.t.Fatalf("never: %s", what)
		}
	}
}

// worker verifies and counts pushes.
type worker struct {
	*httptest.Server
	secret webhook.Secret

	mu     sync.Mutex
	pushes map[string]int // by job
	first  map[string]time.Time
}

func startWorker(t *testing.T, answer http.HandlerFunc) *worker {
	w := &worker{secret: webhook.NewSecret(), pushes: map[string]int{}, first: map[string]time.Time{}}
	verifier := webhook.Verifier{Secrets: []webhook.Secret{w.secret}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // its sender was killed before it had sent all: no push
		}
		if err := verifier.Verify(r.Header, body); err != nil {
			t.Errorf("a push does not verify: %v", err)
		}
		id := r.Header.Get(webhook.HeaderID)
		w.mu.Lock()
		if w.pushes[id]++; w.pushes[id] == 1 {
			w.first[id] = time.Now()
		}
		w.mu.Unlock()
		if answer != nil {
			answer(rw, r)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

// count returns how many jobs were pushed.
func (w *worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pushes)
}

// pushed returns when a job was first pushed; zero where it was not.
func (w *worker) pushed(id string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first[id]
}

// repeats returns how many pushes were made beyond one of each job.
func (w *worker) repeats() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pushes := range w.pushes {
		n += pushes - 1
	}
	return n
}

// enqueue enqueues n jobs, spread over the queues, in batches to each node in turn,
// and returns their ids.
func (c *nodes) enqueue(n int) (ids []string) {
	c.t.Helper()
	const batch = 100
	for first := 0; first < n; first += batch {
		jobs := make([]client.NewJob, min(batch, n-first))
		for i := range jobs {
			jobs[i] = client.NewJob{Queue: c.queues[(first+i)%len(c.queues)], Type: "t", Payload: first + i}
		}
		results, err := c.all[first/batch%len(c.all)].EnqueueBatch(c.ctx, jobs)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, r := range results {
			if r.Error != nil {
				c.t.Fatal(r.Error)
			}
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// counts returns how many jobs of all queues have a status.
func (c *nodes) counts(n *node, status string) (total int64) {
	c.t.Helper()
	for q, err := range n.Queues(c.ctx) {
		if err != nil {
			c.t.Fatal(err)
		}
		total += q.Counts[status]
	}
	return total
}
