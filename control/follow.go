package control

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/store"
)

// The configuration is in memory on every node. Where other nodes change it too, a
// node follows: the store's revision rises with each change of a document, and
// where it is not what this node's own changes have made of it, everything is
// read anew.

const (
	// followEvery is how often the revision is looked at without a hint.
	followEvery = time.Second
	// followPause is between two looks; a node reads its configuration for at most a
	// tenth of its time, but a change is live within a second.
	followPause = 50 * time.Millisecond
)

// revision is what the store's would be if nobody else changed anything since
// everything was read. A change of this node's holds mu shared from before it is
// stored until it is counted, so that who holds it alone knows of all of them.
type revision struct {
	mu       sync.RWMutex
	expected atomic.Int64
}

// putDocument is Store.PutDocument, counted as this node's change.
func (c *Control) putDocument(ctx context.Context, kind, name string, data []byte, e store.Expect) (store.Document, bool, error) {
	c.revision.mu.RLock()
	defer c.revision.mu.RUnlock()
	d, created, err := c.store.PutDocument(ctx, kind, name, data, e)
	if err == nil {
		c.revision.expected.Add(1)
	}
	return d, created, err
}

// deleteDocument is Store.DeleteDocument, counted as this node's change.
func (c *Control) deleteDocument(ctx context.Context, kind, name string, e store.Expect) error {
	c.revision.mu.RLock()
	defer c.revision.mu.RUnlock()
	err := c.store.DeleteDocument(ctx, kind, name, e)
	if err == nil {
		c.revision.expected.Add(1)
	}
	return err
}

// readRevision reads the store's revision, from which changes are counted on, and
// reports whether it was another than expected.
func (c *Control) readRevision(ctx context.Context) (unexpected bool, err error) {
	c.revision.mu.Lock()
	defer c.revision.mu.Unlock()
	now, err := c.store.Revision(ctx)
	if err != nil {
		return false, storeError("read the revision of the configuration", err)
	}
	return c.revision.expected.Swap(now) != now, nil
}

// follow reads the configuration anew whenever another node has changed it.
func (c *Control) follow(ctx context.Context) {
	hints, stop := c.store.WatchDocuments()
	defer stop()
	poll := time.NewTicker(followEvery)
	defer poll.Stop()
	for {
		select {
		case <-hints:
		case <-poll.C:
		case <-ctx.Done():
			return
		}
		begin := time.Now()
		if err := c.followOnce(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("the configuration is not known to be the newest; trying again", "error", err)
		}
		sleep(ctx, max(followPause, min(10*time.Since(begin), followEvery/2)))
	}
}

func (c *Control) followOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	c.changing.Lock()
	defer c.changing.Unlock()
	unexpected, err := c.readRevision(ctx)
	if err != nil || !unexpected {
		return err
	}
	if _, err = c.reload(ctx); err != nil {
		c.keeper.wake() // which tries again until it is read
	}
	return err
}
