package pebble

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// memTableSize: a job waits seconds, and what is deleted before its memtable
	// is flushed never costs a byte of compaction. Two of them plus the block
	// cache bound the engine's own memory at about 200 MiB.
	memTableSize = 64 << 20
	// cacheSize holds the index and filter blocks and the recent data blocks of a
	// backlog of millions; payloads are read once, so more would not hit more.
	cacheSize = 64 << 20
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
		// A burst may fill one memtable while one is being flushed; a third
		// would only buy memory.
		MemTableStopWritesThreshold: 2,
		CacheSize:                   cacheSize,
		// A flush makes one sublevel. Compacting from two on keeps scans and
		// absent lookups short; stopping writes late lets bursts through.
		L0CompactionThreshold: 2,
		L0StopWritesThreshold: 24,
		LBaseMaxBytes:         128 << 20,
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
	// Snappy above, zstd level 1 at the bottom: payloads are mostly JSON.
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
