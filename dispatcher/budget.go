package dispatcher

import "sync/atomic"

// budget shares the memory for ready jobs over a node's shards. Each shard has
// a part that is always its own; beyond that it may have half of what all of
// them leave free. So one busy shard may use much of it, many share it evenly,
// and there is always some left for the next one (the dynamic thresholds of
// Choudhury and Hahne, IEEE/ACM Transactions on Networking, 1998). It may be
// used concurrently.
type budget struct {
	total, own int64
	used       atomic.Int64
}

// ownPart is which part of the budget is divided among the shards for good.
const ownPart = 2

func (b *budget) init(total, shards int) {
	b.total = int64(total)
	b.own = max(64<<10, b.total/ownPart/int64(shards))
}

// allow returns how much a shard may hold that holds so much now.
func (b *budget) allow(held int) int {
	free := b.total - b.used.Load()
	return int(max(b.own, int64(held)+free/2))
}

// change notes that a shard holds so much more now, or less.
func (b *budget) change(by int) { b.used.Add(int64(by)) }
