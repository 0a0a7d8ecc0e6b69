package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Sentinel is a primary and its replica, watched by one Sentinel that takes half a
// second's silence for the primary's end.
type Sentinel struct {
	Primary, Replica *Server
	watcher          *Server
}

// Master is the name that the Sentinel knows the primary by.
const Master = "mymaster"

// StartSentinel starts them; they end with the test; not in the short form of
// the tests. The lines of configuration are the primary's and the replica's.
func StartSentinel(t testing.TB, config ...string) *Sentinel {
	t.Helper()
	s, err := startSentinel(findSeveral(t), t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func startSentinel(program, dir string, config []string) (s *Sentinel, err error) {
	s = &Sentinel{}
	defer func() {
		if err != nil {
			s.Kill()
		}
	}()
	for _, name := range []string{"primary", "replica", "sentinel"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return s, err
		}
	}
	config = append([]string{"repl-diskless-sync-delay 0"}, config...)
	if s.Primary, err = start(program, filepath.Join(dir, "primary"), config); err != nil {
		return s, err
	}
	config = append([]string{fmt.Sprintf("replicaof 127.0.0.1 %d", s.Primary.Port)}, config...)
	if s.Replica, err = start(program, filepath.Join(dir, "replica"), config); err != nil {
		return s, err
	}
	if err := s.watch(program, filepath.Join(dir, "sentinel"), config); err != nil {
		return s, err
	}
	return s, s.stand()
}

// watch starts the Sentinel.
func (s *Sentinel) watch(program, dir string, config []string) error {
	for tries := 1; ; tries++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.watcher = &Server{Port: port, dir: dir}
		file := filepath.Join(dir, "sentinel.conf")
		listen, err := s.watcher.listen(config)
		if err != nil {
			return err
		}
		text := listen + fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1\n"+
			"sentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 2000\n", Master, s.Primary.Port)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		if err = s.watcher.exec(program, file, "--sentinel"); err == nil || tries == 5 || !errors.Is(err, errTaken) {
			return err
		}
	}
}

// stand waits until the replica follows and the Sentinel knows it.
func (s *Sentinel) stand() error {
	ctx := context.Background()
	return Eventually(func() error {
		info, err := s.Replica.Client().Info(ctx, "replication").Result()
		if err != nil {
			return err
		}
		if !strings.Contains(info, "master_link_status:up") {
			return errors.New("the replica does not follow:\n" + info)
		}
		known, err := s.watcher.Client().Do(ctx, "SENTINEL", "REPLICAS", Master).Slice()
		if err == nil && len(known) != 1 {
			err = fmt.Errorf("the Sentinel knows %d replicas", len(known))
		}
		return err
	})
}

// URL is where an engine finds the primary, whoever it is.
func (s *Sentinel) URL(query string) string {
	return s.watcher.url("-sentinel", "/"+Master, query)
}

// Promoted waits until the replica is the primary, to the Sentinel too.
func (s *Sentinel) Promoted(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	err := Eventually(func() error {
		address, err := s.watcher.Client().Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", Master).StringSlice()
		if err == nil && (len(address) != 2 || address[1] != strconv.Itoa(s.Replica.Port)) {
			err = fmt.Errorf("the Sentinel names %v", address)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Kill ends all of them.
func (s *Sentinel) Kill() {
	if s == nil {
		return
	}
	for _, server := range []*Server{s.watcher, s.Replica, s.Primary} {
		server.Kill()
	}
}
