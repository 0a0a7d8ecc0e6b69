package engine

import "fmt"

// CheckBatch holds a batch against the contract's bounds; what is outside them is
// ErrInvalid. An engine calls it before it locks or writes anything.
func CheckBatch(b *Batch) error {
	if b == nil {
		return fmt.Errorf("%w: no batch", ErrInvalid)
	}
	for i := range b.Groups {
		if err := checkGroup(&b.Groups[i]); err != nil {
			return fmt.Errorf("group %d: %w", i, err)
		}
	}
	return nil
}

func checkGroup(g *Group) error {
	for i := range g.Guards {
		if err := CheckKey(g.Guards[i].Key); err != nil {
			return err
		}
	}
	for _, key := range g.Deletes {
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	for _, r := range g.Ranges {
		if len(r.To) == 0 || len(r.To) > MaxKey || len(r.From) > MaxKey {
			return fmt.Errorf("%w: range bounds of %d and %d bytes", ErrInvalid, len(r.From), len(r.To))
		}
	}
	if err := checkEntries(g.Puts, MaxKey); err != nil {
		return err
	}
	if err := checkEntries(g.Stamped, MaxKey-SeqLength); err != nil {
		return err
	}
	for _, c := range g.Counters {
		if err := CheckKey(c.Name); err != nil {
			return err
		}
	}
	return nil
}

func checkEntries(entries []Entry, maxKey int) error {
	for i := range entries {
		en := &entries[i]
		if len(en.Key) == 0 || len(en.Key) > maxKey {
			return fmt.Errorf("%w: key of %d bytes", ErrInvalid, len(en.Key))
		}
		if len(en.Value) > MaxValue {
			return fmt.Errorf("%w: value of %d bytes", ErrInvalid, len(en.Value))
		}
	}
	return nil
}

// CheckKey returns ErrInvalid for a key, or the name of a counter, that is empty or
// longer than MaxKey.
func CheckKey(key []byte) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w: key of %d bytes", ErrInvalid, len(key))
	}
	return nil
}

// CheckLimit returns ErrInvalid for a limit that is not from 1 to MaxScan.
func CheckLimit(limit int) error {
	if limit < 1 || limit > MaxScan {
		return fmt.Errorf("%w: limit %d", ErrInvalid, limit)
	}
	return nil
}

// CheckBound returns ErrInvalid for a bound of a scan, which may be nil, that is
// longer than MaxKey.
func CheckBound(key []byte) error {
	if len(key) > MaxKey {
		return fmt.Errorf("%w: bound of %d bytes", ErrInvalid, len(key))
	}
	return nil
}
