package redis

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Missing is a shard whose head is gone: it is not served until its data are put
// back, or AcceptLoss.
type Missing struct {
	Shard int
	// Entries is how much is left under its other keys.
	Entries int64
	// Whole says that none of those was lost, so that they are kept when the loss is
	// accepted; what is left of others cannot be used. A server loses whole keys.
	Whole bool
}

// Missing returns the shards whose head is gone, in their order.
func (e *Engine) Missing(ctx context.Context) ([]Missing, error) {
	found := make([]*Missing, len(e.keys))
	err := e.eachShard(ctx, func(ctx context.Context, n int) (err error) {
		found[n], err = e.look(ctx, n, "")
		return err
	})
	var missing []Missing
	for _, m := range found {
		if m != nil {
			missing = append(missing, *m)
		}
	}
	return missing, err
}

// AcceptLoss gives a shard whose head is gone a new one: it is served again by those
// that use the store, from what is left where that is whole, else empty. The new head
// has a greater epoch and greater sequence numbers than any before. It returns what
// was there, nil where the head is not missing and nothing was done. It may be
// repeated, and nodes may run.
func (e *Engine) AcceptLoss(ctx context.Context, shard int) (*Missing, error) {
	ms, err := e.time(ctx)
	if err != nil {
		return nil, err
	}
	head := make([]byte, headLength)
	binary.BigEndian.PutUint64(head, uint64(ms))
	// How many numbers were given before is not known; a shard gives less than a
	// million a second.
	binary.BigEndian.PutUint64(head[40:], uint64(ms)*1000)
	binary.BigEndian.PutUint64(head[56:], uint64(ms))
	return e.look(ctx, shard, string(head))
}

var lossScript = source("loss")

// look tells what is left of a shard whose head is gone, nil where it is not, and
// sets a new head where that is not "".
func (e *Engine) look(ctx context.Context, n int, head string) (*Missing, error) {
	k := e.keys[n]
	eval := redis.NewSliceCmd(ctx, "EVAL", lossScript, 5, k.head, k.data, k.index, k.counters, k.names, head)
	if err := e.servers.do(ctx, k.head, eval); err != nil {
		return nil, fmt.Errorf("look for what is left of shard %d: %w", n, e.classify(ctx, err))
	}
	answer := eval.Val()
	if len(answer) == 0 {
		return nil, nil
	}
	entries, ok := answer[0].(int64)
	whole, ok2 := answer[1].(int64)
	if !ok || !ok2 {
		return nil, e.unreadable(n)
	}
	return &Missing{Shard: n, Entries: entries, Whole: whole == 1}, nil
}
