package pebble

// Flush writes what is in memory into tables, so that tests find them on disk.
func (e *Engine) Flush() error { return e.db.Flush() }

// Overwrite stores a record of the engine's own under a shard's head or, for
// shard -1, under the store's; nil deletes it.
func (e *Engine) Overwrite(shard int, value []byte) error {
	key := storeKey
	if shard >= 0 {
		key = appendKey(nil, shard, spaceHead, nil)
	}
	if value == nil {
		return e.db.Delete(key, e.writeOptions())
	}
	return e.db.Set(key, value, e.writeOptions())
}
