package enginetest

import (
	"os"
	"testing"
)

// scope is a part of a test at whose end all is cleaned up that was registered
// in it. The model opens a store for each of hundreds of random runs, which must
// not all stay until the test ends.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup registers f for the end of the scope.
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// TempDir makes a directory that is removed at the end of the scope.
func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp("", "enginetest-*")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Error(err)
		}
	})
	return dir
}

func (s *scope) end() {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		f()
	}
}
