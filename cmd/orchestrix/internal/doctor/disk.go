package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
	"github.com/orchestrix/orchestrix/store/engine/redis"
)

const (
	// syncs is how many fsyncs are timed: enough for a median, few enough for a
	// slow disk.
	syncs = 20
	// slowSync is what a commit should not take: at ten milliseconds a single
	// client gets a hundred acknowledged jobs a second.
	slowSync = 10 * time.Millisecond
	// scarce is the free space below which a store will soon refuse jobs.
	scarce = 4 * pebble.DefaultMinFree
)

// keeping looks at where the store keeps what it has.
func keeping(ctx context.Context, c app.Config) []Check {
	if !redis.IsURL(c.Store) {
		return directory(c)
	}
	begin := time.Now()
	if err := c.CheckStore(ctx); err != nil {
		return []Check{{"store", Failed, err.Error(), "see docs/operations.md, Redis"}}
	}
	return []Check{{"store", OK, fmt.Sprintf("%s serves, looked at in %s", c.StoreName(), time.Since(begin).Round(time.Millisecond)), ""}}
}

// directory looks at where the store keeps its files. For a directory that does
// not exist yet, its closest parent is looked at: that is the disk.
func directory(c app.Config) []Check {
	dir, embedded := strings.CutPrefix(c.Store, "embedded:")
	if !embedded {
		return []Check{{"directory", Skipped, "the store is " + c.StoreName(), ""}}
	}
	dir, err := existing(dir)
	if err != nil {
		return []Check{{"directory", Failed, err.Error(), "choose another directory with --store"}}
	}
	median, err := syncLatency(dir)
	if err != nil {
		return []Check{{"directory", Failed, err.Error(), "make it writable for this user, or choose another with --store"}}
	}
	checks := []Check{{"directory", OK, dir + " is writable", ""}}
	sync := Check{"fsync", OK, fmt.Sprintf("median %s of %d", median.Round(time.Microsecond), syncs), ""}
	if median > slowSync {
		sync.Result, sync.Advice = Warning, "every acknowledged job waits for one: use a faster disk, or enqueue in batches"
	}
	return append(checks, sync, space(dir))
}

func space(dir string) Check {
	usage, err := vfs.Default.GetDiskUsage(dir)
	if err != nil {
		return Check{"free space", Skipped, err.Error(), ""}
	}
	check := Check{"free space", OK, fmt.Sprintf("%d MiB", usage.AvailBytes>>20), ""}
	switch {
	case usage.AvailBytes < pebble.DefaultMinFree:
		check.Result, check.Advice = Failed, fmt.Sprintf("jobs are refused below %d MiB: make room", pebble.DefaultMinFree>>20)
	case usage.AvailBytes < scarce:
		check.Result, check.Advice = Warning, fmt.Sprintf("jobs are refused below %d MiB", pebble.DefaultMinFree>>20)
	}
	return check
}

// existing returns dir, or its closest parent that is there.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a directory", dir)
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// syncLatency returns the median time of an fsync after a small write in dir.
func syncLatency(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".orchestrix-doctor-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	took := make([]time.Duration, syncs)
	block := make([]byte, 4<<10)
	for i := range took {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
