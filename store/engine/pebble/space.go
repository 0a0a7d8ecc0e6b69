package pebble

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/store/engine"
)

// spaceInterval is how long, in milliseconds, one look at the disk serves. In a
// second even a fast writer stays far below DefaultMinFree.
const spaceInterval = 1000

// space watches the free bytes of the store's file system.
type space struct {
	fs    vfs.FS
	dir   string
	least int64 // negative: off

	mu      sync.Mutex
	looked  int64 // engine time in milliseconds
	free    int64
	lookErr error
}

// check returns an error that matches engine.ErrUnavailable where fewer bytes
// are free than there must be.
func (s *space) check(now int64) error {
	if s.least < 0 {
		return nil
	}
	free, err := s.available(now)
	if err != nil {
		return fmt.Errorf("%w: free space of %s: %w", engine.ErrUnavailable, s.dir, err)
	}
	if free < s.least {
		return fmt.Errorf("%w: the store is full: %s has %d MiB free, %d MiB are kept for finishing jobs",
			engine.ErrUnavailable, s.dir, free>>20, s.least>>20)
	}
	return nil
}

func (s *space) available(now int64) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked == 0 || now-s.looked >= spaceInterval {
		usage, err := s.fs.GetDiskUsage(s.dir)
		s.looked, s.free, s.lookErr = now, int64(min(usage.AvailBytes, 1<<62)), err
	}
	return s.free, s.lookErr
}
