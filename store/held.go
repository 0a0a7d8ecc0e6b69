package store

import (
	"context"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// blocked is a unit of which a key is held: its idempotency key or unique lock.
type blocked struct {
	unit
	guard  *engine.Guard // the one that failed
	found  []byte        // what stood under its key; nil where it was free
	unique bool          // it is about the lock
	holder holder
}

// resolveHeld finds what holds the keys of the held units. Where the holder is
// gone, the unit is tried again, in its place.
func (s *Store) resolveHeld(ctx context.Context, shard int, units []unit, held []int, groups []engine.GroupResult, again []unit) ([]unit, error) {
	if len(held) == 0 {
		return again, nil
	}
	all := make([]blocked, 0, len(held))
	ids := make([]job.ID, 0, len(held))
	for _, n := range held {
		b, err := newBlocked(units[n], &groups[n])
		if err != nil {
			return nil, err
		}
		all, ids = append(all, b), append(ids, b.holder.id)
	}
	jobs, err := s.jobs(ctx, shard, ids)
	if err != nil {
		return nil, err
	}
	for i := range all {
		b := &all[i]
		if b.resolve(jobs[b.holder.id]) {
			continue
		}
		if err := s.unheld(ctx, shard, b); err != nil {
			return nil, err
		}
		if !b.result().Pending {
			again = append(again, b.unit)
		}
	}
	return again, nil
}

func newBlocked(u unit, g *engine.GroupResult) (b blocked, err error) {
	guard := &u.guards()[g.Failed]
	b = blocked{unit: u, guard: guard, found: g.Found, unique: guard.Key[0] == spaceUnique}
	switch {
	case b.found == nil: // given free since it was taken for that of a job that is gone
	case b.unique:
		b.holder.id, err = parseUniqueHolder(b.found)
	default:
		b.holder, err = parseHolder(b.found)
	}
	return b, err
}

func (b *blocked) job() *NewJob { return &b.call.jobs[b.first] }

func (b *blocked) result() *Enqueued { return &b.call.results[b.first] }

// own reports whether the job itself holds the key: an earlier try has stored it.
func (b *blocked) own() bool { return b.holder.id == b.job().Job.ID }

// resolve sets the unit's result by the job that holds the key, as it stands. It
// reports false where there is none.
func (b *blocked) resolve(holder *job.Job) bool {
	switch {
	case b.own() && holder == nil: // and deleted since
		*b.result() = Enqueued{Job: b.job().Job}
	case holder == nil:
		return false
	case b.own():
		*b.result() = Enqueued{Job: holder}
	case b.unique:
		*b.result() = Enqueued{Job: holder, Held: true}
	default:
		same := b.holder.digest == b.job().Digest
		*b.result() = Enqueued{Job: holder, Existing: same, Conflict: !same}
	}
	return true
}

// unheld prepares another try of a unit of which no job holds the key: in the place
// of one that is gone, once it is certain that there will be none. A payload without
// a job is that of one of which the owner has yet to say whether it is stored.
func (s *Store) unheld(ctx context.Context, shard int, b *blocked) error {
	if b.found == nil {
		b.guard.Value = nil
		return nil
	}
	id := b.holder.id
	values, err := s.engine.Get(ctx, shard, appendIDKey(nil, spaceJob, id), appendIDKey(nil, spacePayload, id))
	switch {
	case err != nil:
		return err
	case values[0] != nil: // it was stored just now
	case values[1] != nil:
		*b.result() = Enqueued{Pending: true}
	default:
		b.guard.Value = b.found
	}
	return nil
}
