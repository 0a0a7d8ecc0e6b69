package store

import (
	"context"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

// retention remembers how far the terminal jobs were looked through.
type retention struct {
	reading sync.Mutex // one read at a time; guards turn
	turn    int        // whose turn it is to be read first

	mu     sync.Mutex
	passes map[job.Status]*pass
}

// pass is a walk over the jobs of a status, oldest first. The next one begins
// at the first job that this one found: all below were removed.
type pass struct {
	next  job.ID
	first job.ID // the first one found; zero before
	// low is the lowest id that became terminal since the pass began.
	low job.ID
}

// retentionRows bounds how many index entries one call looks at.
const retentionRows = 2_000

// ReadFinished returns terminal jobs that were kept long enough: those that
// finished at least keep before now. keep is asked for each terminal status;
// less than 0 means for ever. It returns up to limit jobs, and the work of a
// call is bounded: more says that there may be others, which another call
// returns; without it every status was looked through to its end. Then the next
// call begins anew.
// Jobs that are not removed are found again by a later pass.
func (o *Owner) ReadFinished(ctx context.Context, keep func(job.Status) time.Duration, now time.Time, limit int) (finished []*job.Job, more bool, err error) {
	o.retain.reading.Lock()
	defer o.retain.reading.Unlock()
	limit, rows := max(limit, 1), retentionRows
	for i := range terminal {
		// The one that used up a call goes on in the next, and then it is the next
		// one's turn: none has to wait until another has nothing left.
		status := terminal[(o.retain.turn+i)%len(terminal)]
		if keep(status) < 0 {
			continue
		}
		jobs, used, ended, err := o.readPass(ctx, status, now.Add(-keep(status)), limit-len(finished), rows)
		if err != nil {
			return nil, false, o.failed("read finished", err)
		}
		finished = append(finished, jobs...)
		rows -= used
		more = more || !ended
		if len(finished) >= limit || rows <= 0 {
			o.retain.turn += i + 1
			return finished, true, nil
		}
	}
	return finished, more, nil
}

var terminal = [...]job.Status{job.Succeeded, job.Dead, job.Cancelled, job.Expired}

// readPass goes on with the pass of one status.
func (o *Owner) readPass(ctx context.Context, status job.Status, before time.Time, limit, rows int) (finished []*job.Job, used int, ended bool, err error) {
	next := o.retain.begin(status)
	chunk := min(limit, rows)
	// A job cannot have finished before it was created: the ids end the pass.
	end := job.MakeID(before.Add(time.Millisecond), 0, [9]byte{})
	if compareIDs(next, end) >= 0 {
		o.retain.advance(status, nil, true)
		return nil, 0, true, nil
	}
	entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{
		From: statusKey(status, next), To: statusKey(status, end),
		Limit: chunk, KeysOnly: true,
	})
	if err != nil {
		return nil, 0, false, err
	}
	ids := make([]job.ID, len(entries))
	for i, e := range entries {
		if ids[i], err = tailID(e.Key); err != nil {
			return nil, 0, false, err
		}
	}
	jobs, err := o.store.jobs(ctx, o.shard, ids)
	if err != nil {
		return nil, 0, false, err
	}
	for _, id := range ids {
		if j := jobs[id]; j != nil && j.Status == status && !j.FinishedAt.After(before) {
			finished = append(finished, j)
		}
	}
	ended = len(entries) < chunk
	o.retain.advance(status, ids, ended)
	return finished, len(entries), ended, nil
}

// begin returns where the pass of a status goes on.
func (r *retention) begin(status job.Status) job.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passes == nil {
		r.passes = map[job.Status]*pass{}
	}
	if r.passes[status] == nil {
		r.passes[status] = &pass{low: greatestID}
	}
	return r.passes[status].next
}

// greatestID is above every id.
var greatestID = job.MakeID(time.UnixMilli(1<<62), job.MaxShards-1, [9]byte{255, 255, 255, 255, 255, 255, 255, 255, 255})

// advance notes what was looked at; at its end the next pass is prepared.
func (r *retention) advance(status job.Status, ids []job.ID, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.passes[status]
	if len(ids) > 0 {
		if p.first.IsZero() {
			p.first = ids[0]
		}
		p.next = nextID(ids[len(ids)-1])
	}
	if !ended {
		return
	}
	first := p.first
	if first.IsZero() {
		first = p.next
	}
	if compareIDs(p.low, first) < 0 {
		first = p.low
	}
	*p = pass{next: first, low: greatestID}
}

// settled notes jobs that became terminal: they may lie below where the passes
// are.
func (r *retention) settled(settles []Settle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range settles {
		j := settles[i].Job
		if p := r.passes[j.Status]; p != nil && compareIDs(j.ID, p.low) < 0 {
			p.low = j.ID
		}
	}
}

func statusKey(s job.Status, id job.ID) []byte {
	return append(appendStatusPrefix(nil, s), id[:]...)
}

// nextID returns the least id above id.
func nextID(id job.ID) job.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
