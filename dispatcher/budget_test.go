package dispatcher

import (
	"testing"

	"pgregory.net/rapid"
)

// However the shards come and go, each may hold its own part, and all of them
// together never hold more than the budget and those parts.
func TestBudget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const total = 64 << 20
		shards := rapid.IntRange(1, 64).Draw(t, "shards")
		var b budget
		b.init(total, shards)
		held := make([]int, shards)
		sum := 0
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			i := rapid.IntRange(0, shards-1).Draw(t, "shard")
			allowed := b.allow(held[i])
			if int64(allowed) < b.own {
				t.Fatalf("shard %d may hold %d, its own part is %d", i, allowed, b.own)
			}
			next := rapid.IntRange(0, max(allowed, held[i])).Draw(t, "holds")
			b.change(next - held[i])
			sum += next - held[i]
			held[i] = next
			if limit := total + int(b.own)*shards; sum > limit {
				t.Fatalf("%d shards hold %d, allowed are %d", shards, sum, limit)
			}
		}
		for i := range held {
			b.change(-held[i])
		}
		if alone := b.allow(0); alone != max(total/2, int(b.own)) {
			t.Fatalf("alone a shard may hold %d of %d", alone, total)
		}
	})
}
