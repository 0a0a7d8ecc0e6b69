package dispatcher

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/orchestrix/orchestrix/job"
)

// What the owner of a shard knows is seen by a node that does not serve it, and its
// end too.
func TestLiveNumbersOfAnotherNode(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := nodes(t, 4, 3, func(_ http.ResponseWriter, _ *http.Request, _ int) { <-release })
	w[1].d.Serve([]int{0, 1})
	w[2].d.Serve([]int{2, 3})
	w[1].untilOwns(0, 1)
	w[2].untilOwns(2, 3)
	worker := w[0].config.Workers[0]
	for i, queue := range worker.Queues {
		w[0].enqueue(queue, i+1)
	}
	all := len(worker.Queues) * (len(worker.Queues) + 1) / 2
	for i, queue := range worker.Queues {
		w[0].until(queue+" is seen in flight", func() bool { return w[0].d.QueueLive(queue).InFlight == i+1 })
	}
	for i, node := range w {
		node.until(fmt.Sprintf("node %d sees the worker", i), func() bool { return node.d.WorkerLive(worker.Name).InFlight == all })
	}
	close(release)
	w[0].untilSucceeded(all)
	for _, queue := range worker.Queues {
		w[0].until(queue+" is seen at rest", func() bool {
			live := w[0].d.QueueLive(queue)
			return live.InFlight == 0 && live.Throughput > 0
		})
	}
	for i, node := range w {
		node.until(fmt.Sprintf("node %d sees the worker's successes", i), func() bool {
			live := node.d.WorkerLive(worker.Name)
			return live.InFlight == 0 && live.Succeeded == int64(all) && !live.LastSuccess.IsZero()
		})
	}
	// The shards are another's, who has nothing to tell of them.
	w[1].d.Serve(nil)
	w[1].untilOwns()
	w[2].d.Serve([]int{0, 1, 2, 3})
	w[2].untilOwns(0, 1, 2, 3)
	for _, queue := range worker.Queues {
		if shard := job.ShardOf(queue, 4); shard < 2 {
			w[0].until(queue+" is forgotten", func() bool { return w[0].d.QueueLive(queue) == QueueLive{} })
		}
	}
}

func TestPublishedIsBounded(t *testing.T) {
	t.Parallel()
	live := shardLive{Queues: make(map[string]QueueLive)}
	if live.encode() != nil {
		t.Error("there is something to tell of nothing")
	}
	for i := range maxPublished + 10 {
		live.Queues[fmt.Sprintf("q%d", i)] = QueueLive{InFlight: i}
	}
	first := string(live.encode())
	if _, ok := live.Queues["q9"]; ok || len(live.Queues) != maxPublished {
		t.Errorf("%d queues are told of, of the least busy: %t", len(live.Queues), ok)
	}
	if _, ok := live.Queues["q10"]; !ok {
		t.Error("one of the busiest is left out")
	}
	if string(live.encode()) != first {
		t.Error("what has not changed is told anew")
	}
}
