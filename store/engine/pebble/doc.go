// Package pebble is the embedded storage engine: it implements engine.Engine on
// a Pebble database in one directory, for one process.
//
// It promises what package engine asks for, and: every acknowledged write has
// been fsynced. Concurrent calls share an fsync, on one shard as over all of
// them; the next batch of a shard is built and made visible while the one
// before it waits for the disk. An fsync that fails ends the process, because
// what the disk holds is unknown from then on. A record torn by a crash at the
// end of the log is cut off; anything else that is damaged is refused with
// engine.ErrCorrupt and left as it is.
//
// The process has the directory to itself, which Open makes sure of. Therefore
// shard heads and counters are cached in memory, and Open ends all leases:
// their owners lived in a process that is gone.
//
// OpenMemory is the same engine on a file system in memory; it survives nothing.
// The package offers no backup, no replication and no access from a second
// process.
package pebble
