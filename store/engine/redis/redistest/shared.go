package redistest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// The servers that all tests of a package share, each test under a key prefix of
// its own. They start with the first test that asks for them and end with End.
var shared struct {
	mu       sync.Mutex
	dir      string
	single   lazily[*Server]
	cluster  lazily[*Cluster]
	sentinel lazily[*Sentinel]
}

type lazily[S interface{ Kill() }] struct {
	begun bool
	value S
	err   error
}

func get[S interface{ Kill() }](t testing.TB, l *lazily[S], program, name string, start func(program, dir string) (S, error)) S {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !l.begun {
		l.begun = true
		l.value, l.err = func() (none S, err error) {
			if shared.dir == "" {
				if shared.dir, err = os.MkdirTemp("", "redistest-*"); err != nil {
					return none, err
				}
			}
			dir := filepath.Join(shared.dir, name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				return none, err
			}
			return start(program, dir)
		}()
	}
	if l.err != nil {
		t.Fatal(l.err)
	}
	return l.value
}

// Shared returns the server that tests share.
func Shared(t testing.TB) *Server {
	t.Helper()
	return get(t, &shared.single, find(t), "single", func(program, dir string) (*Server, error) { return start(program, dir, nil) })
}

// SharedCluster returns the cluster that tests share.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	return get(t, &shared.cluster, findSeveral(t), "cluster", func(program, dir string) (*Cluster, error) { return startCluster(program, dir, nil) })
}

// SharedSentinel returns the primary with its replica and Sentinel that tests
// share.
func SharedSentinel(t testing.TB) *Sentinel {
	t.Helper()
	return get(t, &shared.sentinel, findSeveral(t), "sentinel", func(program, dir string) (*Sentinel, error) { return startSentinel(program, dir, nil) })
}

// End ends what tests shared. TestMain calls it when all tests are over.
func End() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, s := range []interface{ Kill() }{shared.single.value, shared.cluster.value, shared.sentinel.value} {
		s.Kill()
	}
	if shared.dir == "" {
		return nil
	}
	return os.RemoveAll(shared.dir)
}
