package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/orchestrix/orchestrix/store/engine"
)

// PublishLive writes what the owner tells of its shard, in the place of what was told
// before; nil removes it. It is for others to read, and no change of a job: it is not
// fenced, so that a former owner may write last, until the next one tells. After
// ErrUnavailable it may have been written.
func (o *Owner) PublishLive(ctx context.Context, data []byte) error {
	g := engine.Group{Deletes: [][]byte{liveKey}}
	if data != nil {
		g = engine.Group{Puts: []engine.Entry{{Key: liveKey, Value: append([]byte{liveFormat}, data...)}}}
	}
	_, err := o.store.engine.Apply(ctx, o.shard, &engine.Batch{Groups: []engine.Group{g}})
	return o.failed("publish live numbers", err)
}

// Live returns what the shard's owner has told last; nil where it told nothing.
func (s *Store) Live(ctx context.Context, shard int) ([]byte, error) {
	values, err := s.engine.Get(ctx, shard, liveKey)
	if err != nil {
		return nil, fmt.Errorf("store: live numbers of shard %d: %w", shard, err)
	}
	v := values[0]
	if len(v) == 0 || v[0] != liveFormat {
		return nil, nil // of another version of this program: it is not known here
	}
	return slices.Clip(v[1:]), nil
}

var liveKey = []byte{spaceLive}

// liveFormat is the first byte of the record.
const liveFormat = 1
