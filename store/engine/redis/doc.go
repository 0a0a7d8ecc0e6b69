// Package redis is the storage engine on Redis: it implements engine.Engine on
// one server, on a primary that Sentinels watch, or on Redis Cluster, Redis 7.0
// or newer. Any number of processes may use a store at once.
//
// A shard is a hash (key to value), a lexicographic sorted set (the keys in their
// order), a hash and a sorted set for the counters and their names, and a head of
// 64 bytes, all under one hash tag. Every call on a shard is one script, and so
// one round trip and one moment; a script declares all of its keys, and looks at
// everything that could make it fail before it writes.
//
// What is durable when a call returns is Options.Durability, and no more. A call
// is never repeated here once it may have been carried out: an answer that did not
// come is engine.ErrUnavailable, and each call ends within its time limit. A shard
// whose head is gone is engine.ErrMissing. The package does not elect, balance
// or recover; it knows nothing of what it stores.
package redis
