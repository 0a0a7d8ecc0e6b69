package pebble

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// memTableSize: most jobs are done within seconds, and what is deleted before
	// its memtable is flushed costs no compaction. Doubling it saves a tenth of
	// the processor time of an enqueue and costs 100 MiB where the Go heap has to
	// hold it, in a build without cgo.
	memTableSize = 32 << 20
	// cacheSize is shared: the database takes the memtables out of it before it
	// caches a block. What is left, 64 MiB, holds the index and filter blocks of a
	// backlog of millions and the recent data; a cache that held no more than the
	// memtables would decompress an index block for every lookup.
	cacheSize = 2*memTableSize + 64<<20
	// maxRetainedBatch lets the pool keep a batch of 500 jobs of a few KiB, and
	// lets a rare giant one go.
	maxRetainedBatch = 4 << 20
)

// batchOptions is shared by all batches, so that making one allocates nothing.
var batchOptions = []pebble.BatchOption{
	pebble.WithInitialSizeBytes(4 << 10),
	pebble.WithMaxRetainedSizeBytes(maxRetainedBatch),
}

// tuned returns the database options for the engine's workload: short-lived
// small keys, values of about a KiB that are written once, read once and
// deleted, point lookups of keys that are mostly absent, and short scans.
func tuned(fs vfs.FS, log *slog.Logger, fatal func(msg string)) *pebble.Options {
	o := &pebble.Options{
		FS: fs,
		// Later formats cannot be read by older binaries; this one has
		// checksummed table footers and tells a torn log tail from a damaged
		// middle of the log.
		FormatMajorVersion: pebble.FormatTableFormatV6,
		MemTableSize:       memTableSize,
		// A burst may fill three memtables while one is being flushed, before
		// writes have to wait: measured, a third more jobs a second than with two.
		MemTableStopWritesThreshold: 4,
		CacheSize:                   cacheSize,
		// A flush makes one sublevel. Compacting from eight on, into a base level
		// that holds half a GiB before it is rewritten itself, takes a tenth off the
		// CPU of a whole job against four and 128 MiB, and reads do not feel the
		// difference; stopping writes late lets bursts through.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 32,
		LBaseMaxBytes:         512 << 20,
		// One compaction leaves a core of a small machine to the jobs; a second
		// one starts when debt piles up.
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		// Smooths the write-out of large tables, whose fsync would otherwise make
		// commits wait.
		BytesPerSync: 512 << 10,
		// A log segment fills up between two group commits only when payloads are
		// large; then half a MiB at a time is already on its way.
		WALBytesPerSync: 512 << 10,
		MaxOpenFiles:    1000,
		Logger:          logger{log: log, fatal: fatal},
		EventListener:   listener(log),
	}
	// Larger files mean fewer of them: a million jobs of 1 KiB are a few dozen.
	o.TargetFileSizes[0] = 8 << 20
	// MinLZ, or Snappy where there is none: payloads are mostly JSON, and most
	// are deleted before a better ratio would pay for its time.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	for i := range o.Levels {
		// 10 bits a key: one percent of the lookups of an absent key (every guard
		// of an enqueue) touches a data block.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 16 << 10
		// A binary search over a large index block beats a second level.
		o.Levels[i].IndexBlockSize = 256 << 10
	}
	return o
}
