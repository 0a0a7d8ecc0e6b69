package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/store/engine"
)

// contents is what kinds of files a directory holds.
type contents struct {
	manifestMarker, formatMarker bool
	tables, logs                 bool
	// partial: other files that the database makes while it is created.
	partial bool
	foreign string
}

// partialFile matches what the database creates before its manifest is marked
// as current. The leading two are there in every directory a store may be in.
var partialFile = regexp.MustCompile(`^(MANIFEST-\d+|OPTIONS-\d+|marker\..*|.*\.dbtmp|temporary\..*)$`)

// listDirectory tells what is in dir; an absent directory is an empty one.
func listDirectory(fsys vfs.FS, dir string) (contents, error) {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return contents{}, nil
	}
	if err != nil {
		return contents{}, fmt.Errorf("open store %s: %w", dir, err)
	}
	var c contents
	for _, name := range names {
		c.add(name)
	}
	return c, nil
}

func (c *contents) add(name string) {
	switch {
	case name == "LOCK", name == "lost+found":
		// Left by an earlier try, and by the making of a file system.
	case strings.HasPrefix(name, "marker.manifest."):
		c.manifestMarker = true
	case strings.HasPrefix(name, "marker.format-version."):
		c.formatMarker = true
	case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".blob"):
		c.tables = true
	case strings.HasSuffix(name, ".log"):
		c.logs = true
	case partialFile.MatchString(name):
		c.partial = true
	default:
		c.foreign = name
	}
}

// exists says whether the directory holds a database, be it an unfinished one.
func (c contents) exists() bool { return c.manifestMarker }

// check refuses what is no store and what lacks a part that every store has.
// The database itself would take a directory without its marker for a new one.
//
// A database is created in this order: manifest, its marker, format marker,
// log, table. So whatever lacks an earlier part and has a later one was
// damaged; and the last log is never removed before there is a newer one.
func (c contents) check(dir string) error {
	database := c.manifestMarker || c.formatMarker
	switch {
	case c.manifestMarker && c.tables && !c.logs:
		return corrupt(dir, errors.New("its write-ahead log is missing"))
	case c.manifestMarker:
		return nil
	case database, (c.tables || c.logs) && c.foreign == "":
		return corrupt(dir, errors.New("the marker of its manifest is missing"))
	case c.foreign != "", c.tables, c.logs:
		return fmt.Errorf("%w: %s contains %q: choose another directory", ErrNotStore, dir, c.foreign)
	}
	return nil
}

// lockDirectory makes the directory and locks it for this process.
func lockDirectory(fsys vfs.FS, dir string) (*pebble.Lock, error) {
	if err := makeDirectory(fsys, dir); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, fsys)
	switch {
	case err == nil:
		return lock, nil
	case heldElsewhere(err):
		return nil, fmt.Errorf("%w: %s: stop that process, or choose another directory: a store serves one process at a time",
			engine.ErrLocked, dir)
	}
	return nil, fmt.Errorf("lock store %s: %w", dir, err)
}

// makeDirectory creates dir with its parents, readable by its owner only
// because payloads are in it, and makes their names durable.
func makeDirectory(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	}
	parent := fsys.PathDir(dir)
	if parent != dir {
		if err := makeDirectory(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDirectory(fsys, parent)
}

func syncDirectory(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
