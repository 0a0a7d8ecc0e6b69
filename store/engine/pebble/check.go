package pebble

import (
	"fmt"

	"github.com/orchestrix/orchestrix/store/engine"
)

// checkBatch holds a batch against the contract's bounds, before anything is
// locked or written.
func checkBatch(b *engine.Batch) error {
	if b == nil {
		return fmt.Errorf("%w: no batch", engine.ErrInvalid)
	}
	for i := range b.Groups {
		if err := checkGroup(&b.Groups[i]); err != nil {
			return fmt.Errorf("group %d: %w", i, err)
		}
	}
	return nil
}

func checkGroup(g *engine.Group) error {
	if g.Guard != nil {
		if err := checkKey(g.Guard.Key); err != nil {
			return err
		}
	}
	for _, key := range g.Deletes {
		if err := checkKey(key); err != nil {
			return err
		}
	}
	for _, r := range g.Ranges {
		if len(r.To) == 0 || len(r.To) > engine.MaxKey || len(r.From) > engine.MaxKey {
			return fmt.Errorf("%w: range bounds of %d and %d bytes", engine.ErrInvalid, len(r.From), len(r.To))
		}
	}
	if err := checkEntries(g.Puts, engine.MaxKey); err != nil {
		return err
	}
	if err := checkEntries(g.Stamped, engine.MaxKey-engine.SeqLength); err != nil {
		return err
	}
	for _, c := range g.Counters {
		if err := checkKey(c.Name); err != nil {
			return err
		}
	}
	return nil
}

func checkEntries(entries []engine.Entry, maxKey int) error {
	for i := range entries {
		en := &entries[i]
		if len(en.Key) == 0 || len(en.Key) > maxKey {
			return fmt.Errorf("%w: key of %d bytes", engine.ErrInvalid, len(en.Key))
		}
		if len(en.Value) > engine.MaxValue {
			return fmt.Errorf("%w: value of %d bytes", engine.ErrInvalid, len(en.Value))
		}
	}
	return nil
}

func checkKey(key []byte) error {
	if len(key) == 0 || len(key) > engine.MaxKey {
		return fmt.Errorf("%w: key of %d bytes", engine.ErrInvalid, len(key))
	}
	return nil
}

func checkLimit(limit int) error {
	if limit < 1 || limit > engine.MaxScan {
		return fmt.Errorf("%w: limit %d", engine.ErrInvalid, limit)
	}
	return nil
}

// checkBound checks a bound of a scan, which may be nil.
func checkBound(key []byte) error {
	if len(key) > engine.MaxKey {
		return fmt.Errorf("%w: bound of %d bytes", engine.ErrInvalid, len(key))
	}
	return nil
}
