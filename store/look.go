package store

import "context"

// Look finds out whether others than this node have added to the shard's lanes,
// and returns the lanes that there are where somebody has: any of them may have
// grown, see Grew. It is for an owner whose store other nodes write to as well.
//
// An entry is told from one that this node has stored and is about to offer by
// time alone: it is another's where it was there at the last Look and was not
// offered since. again says that such an entry was seen for the first time: it
// is worth to look again as soon as this node's own would have been offered.
//
// It returns ErrFenced where another node has the shard.
func (o *Owner) Look(ctx context.Context) (lanes []Lane, again bool, err error) {
	head, err := o.store.engine.Head(ctx, o.shard)
	if err == nil && head.Fence != o.fence {
		err = ErrFenced
	}
	if err != nil {
		return nil, false, o.failed("look", err)
	}
	gen, grown, again := o.tracker.look(head.Seq)
	if !grown {
		return nil, again, nil
	}
	if lanes, err = o.Lanes(ctx); err == nil {
		o.tracker.listed(gen)
	}
	return lanes, again, err
}

// look compares what is accounted for with the last number that was given. What
// was missing at the last look and still is belongs to others.
func (t *tracker) look(seq uint64) (gen uint64, grown, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.accounted < t.doubted {
		t.accounted = t.doubted
		t.absorb()
		t.gen++
	}
	t.doubted = seq
	return t.gen, t.gen != t.listedGen, seq > t.accounted
}

// listed notes that the lanes were read in a generation: all that was skipped
// before it is in one of them.
func (t *tracker) listed(gen uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listedGen = gen
}
