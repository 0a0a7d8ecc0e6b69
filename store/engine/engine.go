// Package engine is the contract of a storage backend: an ordered map of byte
// keys per shard, with atomic, durable batches.
//
// An engine knows bytes and nothing of jobs. It promises what the comments of
// Engine say and no more; what a job is, how it is indexed and how it is
// recovered is written once, in package store, over any engine. Every engine
// passes enginetest unchanged.
package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Engine is an ordered map of byte keys for each of a fixed number of shards.
// Keys are compared as bytes. A key is 1 to MaxKey bytes, a value 0 to MaxValue
// bytes. Shards share nothing: there is no operation over two of them.
//
// All methods may be called concurrently. Byte slices passed in are not kept
// and not modified after the call returns; those handed out belong to the
// caller. A call whose context is done before it begins returns the context's
// error and does nothing.
//
// Durability: when Apply, Acquire or Release returns nil, its effect survives a
// crash of the process (and, where the engine declares so, of the machine).
// What a crash may do: an Apply that had not returned is afterwards there as a
// whole or absent as a whole. A reader may see an effect before it is durable;
// but every later durable Apply to the same shard makes all earlier visible
// effects of that shard durable too, and an Apply whose guard failed returns
// only when what stood there is durable.
//
// Errors: an error that matches ErrUnavailable may be retried; any other error
// but those named in the methods' comments is fatal to the operation. When
// Apply fails with ErrUnavailable its outcome is unknown: it may have been
// applied. A fenced batch can be repeated as it is (its commit number makes the
// repetition harmless); an unfenced one only where its groups are guarded on a
// key that they write.
type Engine interface {
	// Shards returns the number of shards, fixed when the store was created.
	Shards() int

	// Apply carries out a batch on one shard, atomically. See Batch.
	//
	// It returns ErrFenced where the batch's fence does not own the shard, and
	// ErrHistory where its commit number is neither the next one nor, under the
	// same fence, the last one applied (which is success: the batch was applied
	// by an earlier try, and the result has Repeated set and no Groups).
	Apply(ctx context.Context, shard int, b *Batch) (Result, error)

	// Get returns the values of the keys, in their order; nil for an absent key
	// (an empty value is not nil).
	Get(ctx context.Context, shard int, keys ...[]byte) ([][]byte, error)

	// Scan returns up to limit entries with From <= key < To, in ascending or,
	// with Reverse, descending order of key. It is a consistent view of one
	// moment.
	Scan(ctx context.Context, shard int, r Range) ([]Entry, error)

	// Counters returns the values of the named counters, in their order; 0 for
	// one that never was added to.
	Counters(ctx context.Context, shard int, names ...[]byte) ([]int64, error)

	// ScanCounters returns the counters whose names begin with prefix, by name,
	// up to limit of them, those with value 0 left out, beginning after the name
	// after (nil: at the beginning).
	ScanCounters(ctx context.Context, shard int, prefix, after []byte, limit int) ([]Counter, error)

	// Watch returns a channel that gets a value when the shard may have changed
	// by an unfenced Apply, and a function that ends the watch. It is a hint:
	// several changes may share one value, and a lost hint costs a watcher at
	// most the second after which it looks by itself.
	Watch(shard int) (changed <-chan struct{}, stop func())

	// Acquire makes nonce the owner of the shard for the length of the lease, by
	// the engine's own clock, and returns the new head. The new epoch is greater
	// than any before: the greater of the stored one plus 1 and the engine's time
	// in milliseconds. It returns a HeldError where another owner's lease has not
	// run out; an owner acquiring anew gets a new epoch. The zero nonce owns
	// nothing and is invalid here; a lease is at least a millisecond.
	Acquire(ctx context.Context, shard int, nonce Nonce, lease time.Duration) (Head, error)

	// Renew extends the lease of the fence's owner to now plus lease. It returns
	// ErrFenced where the fence does not own the shard any more. A lease that has
	// run out but was not taken by another can be renewed. An extension need not
	// survive a crash that ends all leases.
	Renew(ctx context.Context, shard int, f Fence, lease time.Duration) error

	// Release ends the ownership at once, so that another may acquire the shard:
	// the head keeps its epoch and loses its nonce, and the fence owns nothing
	// any more. It returns ErrFenced where the fence does not own the shard. An
	// engine that only one process can use may do the same for all shards when
	// it is opened, since whoever owned them is gone.
	Release(ctx context.Context, shard int, f Fence) error

	// Head returns the shard's head as it stands.
	Head(ctx context.Context, shard int) (Head, error)

	// Now returns the engine's time, in UTC with millisecond precision. It never
	// goes back, not even over a restart: it is at least the greatest time it
	// returned before the last durable Apply.
	Now(ctx context.Context) (time.Time, error)

	// Usage returns how much the engine stores.
	Usage(ctx context.Context) (Usage, error)

	// Close releases all resources. Calls under way may fail with ErrClosed, and
	// all later ones do. It may be called more than once.
	Close() error
}

// The bounds of keys, values and batches.
const (
	MaxKey   = 2 << 10
	MaxValue = 8 << 20
	// MaxScan is the greatest limit of a Scan or ScanCounters.
	MaxScan = 10_000
	// SeqLength is how many bytes a stamped put appends to its key.
	SeqLength = 8
)

// Nonce tells one life of one node from every other.
type Nonce [16]byte

// Fence names the owner that a batch is written by. The engine compares Epoch
// and Nonce for equality with what is stored.
type Fence struct {
	Epoch uint64
	Nonce Nonce
}

// Head is what an engine keeps of a shard beside its map.
type Head struct {
	Fence
	// Commit is the number of the last fenced batch that was applied, over all
	// owners; the next one has Commit+1.
	Commit uint64
	// Seq is the last sequence number that was given to a stamped put.
	Seq uint64
	// Expires is when the owner's lease runs out by the engine's time; zero where
	// nobody owns the shard.
	Expires time.Time
}

// Batch is what Apply carries out, all of it or nothing, in this order: the
// fence is compared; every guard is evaluated against the state before the
// batch; then the groups whose guards held are carried out in order, each in the
// order deletes, range deletes, puts, stamped puts, counters.
type Batch struct {
	// Fence, where set, must own the shard, and Commit must be the number after
	// the last applied one. Without it the batch is unfenced: any node may write
	// it, and Commit is not looked at.
	Fence  *Fence
	Commit uint64
	Groups []Group
}

// Group is a part of a batch with a condition of its own: all of its guards,
// none of them where it is unconditional. A group of which one guard fails is
// skipped; the others are carried out all the same.
type Group struct {
	Guards  []Guard
	Deletes [][]byte
	Ranges  []KeyRange
	Puts    []Entry
	// Stamped puts have the shard's next sequence number, 8 bytes big-endian,
	// appended to their key. Numbers rise in the order in which batches become
	// visible: who has seen n sees no lower one appear afterwards.
	Stamped  []Entry
	Counters []Counter
}

// Guard is a condition of a group: the key is absent (Value nil), or its value
// is Value (not nil).
type Guard struct {
	Key   []byte
	Value []byte
}

// Entry is a key with its value.
type Entry struct{ Key, Value []byte }

// KeyRange is all keys with From <= key < To: none where From >= To. From may be
// empty, To must not be.
type KeyRange struct{ From, To []byte }

// Counter is a named number and, in a group, what is added to it. Counter names
// are a space of their own, apart from keys.
type Counter struct {
	Name  []byte
	Value int64
}

// Range is what Scan reads. From nil means from the beginning, To nil up to the
// end. Limit must be from 1 to
// MaxScan. KeysOnly leaves the values nil.
type Range struct {
	From, To []byte
	Limit    int
	Reverse  bool
	KeysOnly bool
}

// Result is what Apply did.
type Result struct {
	// Repeated says that the batch had been applied before; Groups is then nil.
	Repeated bool
	// Groups has one entry for each group of the batch.
	Groups []GroupResult
}

// GroupResult is what became of one group.
type GroupResult struct {
	// Skipped says that a guard failed. Failed is then the place of the first
	// that did among the group's guards, and Found what stood under its key, nil
	// where it was absent. Of the guards behind it nothing is said.
	Skipped bool
	Failed  int
	Found   []byte
	// FirstSeq is the number given to the group's first stamped put; the others
	// follow without a gap.
	FirstSeq uint64
}

// Usage is how much an engine stores.
type Usage struct {
	// Bytes is the space taken on the storage, or -1 where it cannot be told.
	Bytes int64
}

// The errors that callers decide on.
var (
	// ErrUnavailable: the storage cannot be reached, is full, or gave no clear
	// answer; the outcome is unknown and the operation may be retried.
	ErrUnavailable = errors.New("store unavailable")
	// ErrFenced: another owner has the shard. Stop writing to it.
	ErrFenced = errors.New("shard is owned by another node")
	// ErrHistory: the shard's commit number is not the one the writer knows.
	// Drop what is in memory, acquire the shard anew and rebuild.
	ErrHistory = errors.New("shard history differs from the writer's")
	// ErrMissing: the shard's record, written when the store was created, is not
	// there: it was lost, and the shard must not be served.
	ErrMissing = errors.New("shard record is missing")
	// ErrClosed: the engine was closed.
	ErrClosed = errors.New("engine is closed")
	// ErrLocked: another process uses the store.
	ErrLocked = errors.New("store is in use by another process")
	// ErrCorrupt: the stored data are damaged. Nothing was changed.
	ErrCorrupt = errors.New("store is corrupt")
	// ErrInvalid: the call is outside the contract's bounds.
	ErrInvalid = errors.New("invalid engine call")
)

// HeldError is returned by Acquire where another owner's lease has not run out.
type HeldError struct{ Head Head }

// Error names the owner and the end of its lease.
func (e *HeldError) Error() string {
	return fmt.Sprintf("shard is held under epoch %d until %s", e.Head.Epoch, e.Head.Expires.Format(time.RFC3339Nano))
}
