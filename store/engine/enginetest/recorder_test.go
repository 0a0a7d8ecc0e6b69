package enginetest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain makes failing quick, since here failures are wanted, and has the model
// draw the same runs each time, so that what it sees does not depend on luck.
func TestMain(m *testing.M) {
	flag.Parse()
	patience = 300 * time.Millisecond
	for name, value := range map[string]string{
		"rapid.nofailfile": "true", "rapid.shrinktime": "0s", "rapid.seed": "1", "rapid.checks": "500",
	} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// recorder takes a check's failures for itself.
type recorder struct {
	scope
	mu     sync.Mutex
	failed bool
	log    strings.Builder
}

// record runs a check and returns what it found wrong, if anything.
func record(t *testing.T, check func(t testing.TB)) (failed bool, log string) {
	t.Helper()
	r := &recorder{scope: scope{TB: t}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.end()
		check(r)
	}()
	<-done
	return r.failed, r.log.String()
}

func (r *recorder) Helper()                      {}
func (r *recorder) Fail()                        { r.fail("") }
func (r *recorder) Error(args ...any)            { r.fail(fmt.Sprintln(args...)) }
func (r *recorder) Errorf(f string, args ...any) { r.fail(fmt.Sprintf(f, args...)) }
func (r *recorder) FailNow()                     { r.fail(""); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)            { r.fail(fmt.Sprintln(args...)); runtime.Goexit() }
func (r *recorder) Fatalf(f string, args ...any) { r.fail(fmt.Sprintf(f, args...)); runtime.Goexit() }
func (r *recorder) Log(...any)                   {}
func (r *recorder) Logf(string, ...any)          {}
func (r *recorder) Skip(...any)                  { runtime.Goexit() }
func (r *recorder) Skipf(string, ...any)         { runtime.Goexit() }
func (r *recorder) SkipNow()                     { runtime.Goexit() }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) fail(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.log.WriteString(message)
}
