package redis

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// confirmEvery is how often a process that is open asks whether the store is still
// the one that it opened.
const confirmEvery = time.Second

// identity is what a process knows of the store that it opened, and a server that
// lost everything does not.
type identity struct {
	record  storeRecord // zero until the store is open
	next    atomic.Int64
	verdict atomic.Pointer[error] // nil where it is the same store
}

// confirm compares the store's record with that of the store which was opened, once
// in confirmEvery by one of the calls that come. A record that is gone is written
// again: whoever starts on servers that lost everything finds a store whose shards
// are missing, and does not take them for new. Where another store stands in its
// place, or one that a newer program has changed, no call is carried out: what was
// acknowledged is not in it.
func (e *Engine) confirm(ctx context.Context) error {
	id := &e.identity
	if now, next := time.Now().UnixNano(), id.next.Load(); id.record.layout != 0 && now >= next &&
		id.next.CompareAndSwap(next, now+int64(confirmEvery)) {
		text, err := e.record(ctx)
		switch {
		case err == nil:
			e.judge(ctx, text)
		case e.servers.cluster == nil: // on a cluster another node may have the shard
			return fmt.Errorf("look for the record of %s: %w", e.servers.target, err)
		}
	}
	if bad := id.verdict.Load(); bad != nil {
		return *bad
	}
	return nil
}

// judge compares the text of the record that stands with the one that was opened.
func (e *Engine) judge(ctx context.Context, text string) {
	id := &e.identity
	if text == "" {
		if set, err := e.setNew(ctx, storeKey(e.servers.target.prefix), id.record.String()); err == nil && set {
			e.log.Error("store: its record was gone, and was written again; shards that are lost will say so", "store", e.servers.target.String())
		}
		return
	}
	r, err := parseStoreRecord(text)
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w: %w", e.servers.target, engine.ErrMissing, err)
	case r.layout > layoutVersion:
		err = fmt.Errorf("%s: %w: %w", e.servers.target, engine.ErrMissing, r.tooNew())
	case r.created != id.record.created:
		err = fmt.Errorf("%s: %w: another store stands where this process opened its own: that one was created at %s, this one at %s; "+
			"put the data back, or start this process anew to use what is there",
			e.servers.target, engine.ErrMissing, createdAt(id.record), createdAt(r))
	default:
		if id.verdict.Swap(nil) != nil {
			e.log.Info("store: it is the one that was opened again", "store", e.servers.target.String())
		}
		return
	}
	if id.verdict.Swap(&err) == nil {
		e.log.Error("store: nothing is served", "error", err)
	}
}

func createdAt(r storeRecord) string { return time.UnixMilli(r.created).UTC().Format(time.RFC3339) }
