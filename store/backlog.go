package store

import (
	"bytes"
	"context"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// Backlog bounds what may wait in a queue: all jobs that are not terminal, those
// that are delayed or being pushed included. A zero field bounds nothing.
//
// The enqueues of one process are held to it exactly: those of a shard are
// carried out one after the other, each against what is stored then. Processes
// that share an engine may together exceed it by what they are storing at the
// same moment. A redriven job is not held to it, nor is one that is stored
// already.
type Backlog struct {
	Jobs int64
	// Bytes are those of the payloads.
	Bytes int64
}

// Full says why a job was not stored.
type Full struct {
	// Bytes says that the Backlog's Bytes left no room; else its Jobs did.
	Bytes bool
	// Waiting is what waits in the queue.
	Waiting Backlog
}

// full returns which bound leaves no room for a job beside what waits, nil where
// there is room.
func (b *Backlog) full(waiting Backlog, size int64) *Full {
	switch {
	case b.Jobs > 0 && waiting.Jobs >= b.Jobs:
		return &Full{Waiting: waiting}
	case b.Bytes > 0 && waiting.Bytes+size > b.Bytes:
		return &Full{Bytes: true, Waiting: waiting}
	}
	return nil
}

// admit parts the units of a round by whether there is room for them. Those that
// find none are looked at again in the next round, since a unit that was given a
// place may turn out to need none. Once a round stores nothing, all that is left
// is refused. Only the leader of the shard's enqueues calls it, so that what it
// has read changes in one direction at most: the owner makes room.
func (s *Store) admit(ctx context.Context, shard int, units []unit) (round, over []unit, err error) {
	waiting, err := s.waiting(ctx, shard, units)
	if err != nil {
		return nil, nil, err
	}
	var full []*Full
	for _, u := range units {
		if u.n == 0 { // commands alone
			round = append(round, u)
			continue
		}
		first := u.first
		for i := u.first; i < u.first+u.n; i++ {
			f := waiting.take(&u.call.jobs[i])
			if f == nil {
				continue
			}
			round = u.part(round, first, i)
			over = u.part(over, i, i+1)
			full = append(full, f)
			first = i + 1
		}
		round = u.part(round, first, u.first+u.n)
	}
	if len(round) > 0 || len(over) == 0 {
		return round, over, nil
	}
	round, err = s.refuse(ctx, shard, over, full)
	return round, nil, err
}

// part appends the unit of the jobs from first up to end, if there are any.
func (u unit) part(units []unit, first, end int) []unit {
	switch {
	case first == end:
		return units
	case first == u.first && end == u.first+u.n:
		return append(units, u)
	}
	return append(units, u.call.unit(first, end-first))
}

// backlogs are what waits in the queues that have a bound.
type backlogs map[string]*Backlog

// waiting reads what waits in the bounded queues of the units.
func (s *Store) waiting(ctx context.Context, shard int, units []unit) (backlogs, error) {
	found := backlogs{}
	var queues []string
	var names [][]byte
	for _, u := range units {
		for i := u.first; i < u.first+u.n; i++ {
			nj := &u.call.jobs[i]
			if nj.Backlog == nil || found[nj.Job.Queue] != nil {
				continue
			}
			found[nj.Job.Queue] = &Backlog{}
			queues = append(queues, nj.Job.Queue)
			names = append(names, appendCountName(nil, nj.Job.Queue, class(job.Waiting)), appendCountName(nil, nj.Job.Queue, classBytes))
		}
	}
	if len(queues) == 0 {
		return found, nil
	}
	values, err := s.engine.Counters(ctx, shard, names...)
	if err != nil {
		return nil, err
	}
	for i, queue := range queues {
		*found[queue] = Backlog{values[2*i], values[2*i+1]}
	}
	return found, nil
}

// take gives a job its place, or says why there is none.
func (w backlogs) take(nj *NewJob) *Full {
	if nj.Backlog == nil {
		return nil
	}
	waiting, size := w[nj.Job.Queue], int64(nj.Job.PayloadSize)
	if f := nj.Backlog.full(*waiting, size); f != nil {
		return f
	}
	waiting.Jobs++
	waiting.Bytes += size
	return nil
}

// refuse sets the results of units, of one job each, for which there is no room.
// It returns those that need none: their id or a key of theirs is stored already,
// as their guards will say.
func (s *Store) refuse(ctx context.Context, shard int, over []unit, full []*Full) (round []unit, err error) {
	var guards []engine.Guard
	var keys [][]byte
	for _, u := range over {
		for _, g := range u.call.batch.groups[u.group].Guards {
			guards, keys = append(guards, g), append(keys, g.Key)
		}
	}
	values, err := s.engine.Get(ctx, shard, keys...)
	if err != nil {
		return nil, err
	}
	for i, u := range over {
		n := len(u.call.batch.groups[u.group].Guards)
		if anotherStands(guards[:n], values[:n]) {
			round = append(round, u)
		} else {
			u.call.results[u.first] = Enqueued{Full: full[i]}
		}
		guards, values = guards[n:], values[n:]
	}
	return round, nil
}

// anotherStands reports whether something stands under the guards' keys that they
// do not expect.
func anotherStands(guards []engine.Guard, found [][]byte) bool {
	for i, g := range guards {
		if found[i] != nil && !bytes.Equal(found[i], g.Value) {
			return true
		}
	}
	return false
}
