package store

import (
	"errors"
	"fmt"
	"testing"
)

func TestShardQueues(t *testing.T) {
	t.Parallel()
	overEngines(t, 4, func(t *testing.T, f *fixture) {
		const queues = 30
		for i := range queues {
			f.one(fmt.Sprintf("q%02d", i), nil)
		}
		seen := map[string]int64{}
		for shard := range 4 {
			for after := ""; ; {
				page, err := f.ShardQueues(ctx(), shard, after, 3)
				f.check(err)
				for _, q := range page {
					if f.ShardOf(q.Queue) != shard || q.Queue <= after {
						t.Errorf("shard %d has %s after %q", shard, q.Queue, after)
					}
					seen[q.Queue] += q.Waiting
					after = q.Queue
				}
				if len(page) < 3 {
					break
				}
			}
		}
		for name, n := range seen {
			if n != 1 {
				t.Errorf("%s was counted %d times", name, n)
			}
		}
		if len(seen) != queues {
			t.Errorf("%d queues were found, want %d", len(seen), queues)
		}
		if _, err := f.ShardQueues(ctx(), 0, "", 0); !errors.Is(err, ErrInvalid) {
			t.Errorf("a limit of 0: %v", err)
		}
	})
}
