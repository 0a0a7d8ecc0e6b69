package pebble

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Open opens the store in dir, or creates one where dir is absent or empty. It
// returns an error that matches engine.ErrLocked where another process has it,
// engine.ErrCorrupt where it is damaged, ErrNotStore where dir holds something
// else; the directory is then as it was.
func Open(dir string, o Options) (*Engine, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.FS == nil {
		o.FS = vfs.Default
		// The lock is kept by name within a process: one directory must not be
		// reached under two.
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
	}
	return open(dir, o, false)
}

// OpenMemory creates an empty store in memory, which ends with the process or
// with Close. Dir-related options have no effect.
func OpenMemory(o Options) (*Engine, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	o.FS, o.MinFree = vfs.NewMem(), -1
	return open("memory", o, true)
}

func open(dir string, o Options, memory bool) (*Engine, error) {
	before, err := listDirectory(o.FS, dir)
	if err != nil {
		return nil, err
	}
	if err := before.check(dir); err != nil {
		return nil, err
	}
	if o.MustExist && !memory && !before.exists() {
		return nil, errAbsent(dir)
	}
	lock, err := lockDirectory(o.FS, dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		lock: lock, dir: dir, memory: memory, log: o.Logger,
		clock: newClock(o.Now),
		space: space{fs: o.FS, dir: dir, least: o.MinFree},
	}
	e.scratch.New = func() any { return new(scratch) }
	if err := e.start(o); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return e, nil
}

func errAbsent(dir string) error {
	return fmt.Errorf("there is no store in %s: what was there is lost, or it is another directory; "+
		"put it back, or leave --store-must-exist out to begin an empty one", dir)
}

// start opens the database under the lock and loads what is kept in memory.
func (e *Engine) start(o Options) error {
	// Looked at again: until the lock was held another process may have been
	// creating the store.
	c, err := listDirectory(o.FS, e.dir)
	if err != nil {
		return err
	}
	if err := c.check(e.dir); err != nil {
		return err
	}
	db, err := openDatabase(e.dir, c, e.options(o))
	if err != nil {
		return err
	}
	e.db = db
	if err := e.load(o, c); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

func (e *Engine) options(o Options) *pebble.Options {
	po := tuned(o.FS, e.log, fatal(e.log, e.dir))
	po.Lock = e.lock
	// A log in memory would survive nothing that the memtable does not.
	po.DisableWAL = e.memory
	return po
}

// openDatabase turns every failure, the database's panics on damaged files
// included, into an error that says what to do.
func openDatabase(dir string, c contents, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = corrupt(dir, fmt.Errorf("%v", p))
		}
	}()
	db, err = pebble.Open(dir, o)
	if err == nil {
		return db, nil
	}
	if !c.exists() {
		return nil, fmt.Errorf("create store %s: %w", dir, err)
	}
	return nil, openError(dir, err)
}

// load reads the store's record and every shard's, or writes them to a new
// store.
func (e *Engine) load(o Options, c contents) error {
	value, err := e.readKey(storeKey)
	if err != nil {
		return openError(e.dir, err)
	}
	if value == nil {
		if value, err = e.create(o, c); err != nil {
			return err
		}
	}
	r, err := decodeStoreRecord(value)
	if err != nil {
		return corrupt(e.dir, err)
	}
	if r.layout > layoutVersion {
		return fmt.Errorf("store %s has layout %d, this program knows up to %d: a newer version of Orchestrix has written it, and nothing was changed; "+
			"run that version or a later one, or restore a backup of before the upgrade", e.dir, r.layout, layoutVersion)
	}
	if o.Shards != 0 && o.Shards != int(r.shards) {
		return fmt.Errorf("%w: store %s has %d shards, which cannot be changed to %d: leave the number out, or create a new store",
			engine.ErrInvalid, e.dir, r.shards, o.Shards)
	}
	e.created = time.UnixMilli(r.created).UTC()
	return e.loadShards(int(r.shards))
}

// create writes the records of a new store. A database that has tables or any
// key is not new, whatever its record's fate was.
func (e *Engine) create(o Options, c contents) ([]byte, error) {
	empty, err := e.empty()
	if err != nil {
		return nil, openError(e.dir, err)
	}
	if c.tables || !empty {
		return nil, corrupt(e.dir, errors.New("its store record is missing"))
	}
	if o.MustExist && !e.memory {
		return nil, errAbsent(e.dir)
	}
	shards := o.Shards
	if shards == 0 {
		shards = DefaultShards
	}
	r := storeRecord{layout: layoutVersion, shards: uint32(shards), created: e.clock.millis()}
	return r.encode(), e.writeRecords(r)
}

// writeRecords writes them all in one durable batch, then into a table: a store
// whose log is lost can thereby be told from one that was never finished.
func (e *Engine) writeRecords(r storeRecord) error {
	b := e.db.NewBatch()
	defer b.Close()
	err := b.Set(storeKey, r.encode(), nil)
	for n := range int(r.shards) {
		value := make([]byte, shardRecordLength)
		(&shardRecord{time: r.created}).put(value)
		err = errors.Join(err, b.Set(appendKey(nil, n, spaceHead, nil), value, nil))
	}
	if err == nil {
		err = e.db.Apply(b, e.writeOptions())
	}
	if err == nil && !e.memory {
		err = e.db.Flush()
	}
	if err != nil {
		return fmt.Errorf("create store %s: %w", e.dir, err)
	}
	return nil
}

// loadShards reads the heads, ends all leases, and carries time on from the
// latest record.
func (e *Engine) loadShards(count int) error {
	e.shards = make([]*shard, count)
	for n := range e.shards {
		value, err := e.readKey(appendKey(nil, n, spaceHead, nil))
		if err != nil {
			return openError(e.dir, err)
		}
		s := &shard{n: n, missing: value == nil, counters: make(map[string]*counter)}
		e.shards[n] = s
		if s.missing {
			e.log.Error("store: a shard's record is missing; the shard is not served", "dir", e.dir, "shard", n)
			continue
		}
		if s.record, err = decodeShardRecord(value); err != nil {
			return corrupt(e.dir, err)
		}
		s.record.disown()
		e.clock.raise(s.record.time)
	}
	return nil
}

func (e *Engine) empty() (bool, error) {
	it, err := e.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	found := it.First()
	return !found, it.Close()
}

// readKey returns a copy of the value of a database key, nil where it is absent.
func (e *Engine) readKey(key []byte) ([]byte, error) {
	value, closer, err := e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, value...), closer.Close()
}

func (e *Engine) writeOptions() *pebble.WriteOptions {
	if e.memory {
		return pebble.NoSync
	}
	return pebble.Sync
}
