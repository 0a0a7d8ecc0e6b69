package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// QueueList is one page of queues, by name.
type QueueList struct {
	Queues []Queue
	Cursor string
}

// ListQueues returns a page of the queues that were configured or mentioned and
// that the context's principal may read. A page may be short although another
// one follows.
func (c *Control) ListQueues(ctx context.Context, cursor string, limit int) (QueueList, error) {
	see, err := visible(ctx)
	if err != nil {
		return QueueList{}, err
	}
	after, err := checkPage("queues", cursor, &limit)
	if err != nil {
		return QueueList{}, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return QueueList{}, storeError("list queues", err)
	}
	counted, err := c.store.ListQueues(ctx, after, limit)
	if err != nil {
		return QueueList{}, storeError("list queues", err)
	}
	return c.queueList(ctx, c.queuePage(counted, after, limit), see, limit, now)
}

// queuePage merges the queues that have jobs with those that were only
// configured or are only served, in the order of their names. What the store
// left out, since its page was full, is behind the end of this page too.
func (c *Control) queuePage(counted []store.QueueCounts, after string, limit int) []store.QueueCounts {
	byName := make(map[string]store.QueueCounts, len(counted))
	for _, q := range counted {
		byName[q.Queue] = q
	}
	for name := range c.configured() {
		if _, ok := byName[name]; !ok && name > after {
			byName[name] = store.QueueCounts{Queue: name}
		}
	}
	page := make([]store.QueueCounts, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		page = append(page, byName[name])
	}
	return page[:min(limit, len(page))]
}

// configured returns the names of all queues that have a configuration or a
// worker.
func (c *Control) configured() map[string]struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	names := make(map[string]struct{}, len(c.live.queues))
	for name := range c.live.queues {
		names[name] = struct{}{}
	}
	for _, d := range c.live.workers {
		for _, name := range d.Value.Queues {
			names[name] = struct{}{}
		}
	}
	return names
}

func (c *Control) queueList(ctx context.Context, page []store.QueueCounts, see func(string) bool, limit int, now time.Time) (QueueList, error) {
	var list QueueList
	for _, counted := range page {
		if see != nil && !see(counted.Queue) {
			continue
		}
		c.mu.RLock()
		d := c.live.queues[counted.Queue]
		c.mu.RUnlock()
		q, err := c.queueWith(ctx, counted.Queue, &d, counted.Counts, now)
		if err != nil {
			return QueueList{}, err
		}
		list.Queues = append(list.Queues, q)
	}
	if len(page) == limit {
		list.Cursor = encodeCursor(page[limit-1].Queue, "queues")
	}
	return list, nil
}
