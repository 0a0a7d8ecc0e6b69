package dispatcher

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// leftover are the pushes of a shard that this node goes on with after it has handed
// the shard over. How they end is sent to the shard's inbox, where its owner finds
// it, be it this node again.
type leftover struct {
	l     *loop
	ended chan struct{} // has a value while there are results

	unreported int // slots that are in use

	mu      sync.Mutex
	pushes  map[attemptKey]context.CancelFunc
	results []result
}

const (
	// callOffEvery is how often it is looked whether jobs of such pushes were
	// cancelled meanwhile, or their pushes given up.
	callOffEvery = time.Second
	// reportBytes bounds the answers that are sent at once.
	reportBytes = 1 << 20
)

// leaveBehind takes the pushes in flight and the answers that the machine was not
// told of from the loop; nil where there are none.
func (l *loop) leaveBehind() *leftover {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.pushes) + len(l.results)
	if n == 0 {
		return nil
	}
	o := &leftover{l: l, ended: make(chan struct{}, 1), unreported: n, pushes: l.pushes, results: l.results}
	l.pushes, l.results = make(map[attemptKey]context.CancelFunc), nil
	for key := range o.pushes {
		l.left[key] = o
	}
	l.d.slots.linger(l.shard, n)
	return o
}

// landed takes the answer of a push.
func (o *leftover) landed(r result) {
	o.mu.Lock()
	delete(o.pushes, attemptKey{r.ID, r.Attempt})
	o.results = append(o.results, r)
	o.mu.Unlock()
	select {
	case o.ended <- struct{}{}:
	default:
	}
}

// run reports until all pushes have ended, or ctx has: what was not reported by then
// is taken for lost by the shard's owner.
func (o *leftover) run(ctx context.Context) {
	defer func() { o.l.d.slots.lingered(o.unreported) }()
	look := time.NewTicker(callOffEvery)
	defer look.Stop()
	for {
		results, going := o.take()
		for len(results) > 0 {
			n := batchOf(results)
			if !o.report(ctx, results[:n]) {
				return
			}
			results = results[n:]
		}
		if going == 0 {
			return
		}
		select {
		case <-o.ended:
		case <-look.C:
			o.callOff(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (o *leftover) take() (results []result, going int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	results, o.results = o.results, nil
	return results, len(o.pushes)
}

// batchOf returns how many of the results are reported at once.
func batchOf(results []result) (n int) {
	for size := 0; n < len(results); n++ {
		if size += len(results[n].Answer.Body); n > 0 && size > reportBytes {
			break
		}
	}
	return n
}

// report sends results. A store that does not answer is asked until it does; it
// reports false where ctx ended first.
func (o *leftover) report(ctx context.Context, results []result) bool {
	commands := make([]store.Command, len(results))
	for i := range results {
		commands[i] = reportOf(&results[i])
	}
	for p := (pauses{20 * time.Millisecond, 2 * time.Second}); ; {
		_, err := o.l.d.store.SendAll(ctx, o.l.shard, commands)
		if err != nil && ctx.Err() == nil && errors.Is(err, store.ErrUnavailable) {
			o.l.d.away.tell(ctx, o.l.d.log, "the ends of pushes are not reported", o.l.shard, err)
			select {
			case <-time.After(p.pause()):
				continue
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil && err != nil {
			return false
		}
		if err != nil {
			o.l.d.log.ErrorContext(ctx, "the ends of pushes cannot be reported: they are taken for lost", "shard", o.l.shard, "error", err)
		}
		o.unreported -= len(results)
		o.l.d.slots.lingered(len(results))
		return true
	}
}

// callOff aborts the pushes whose jobs have ended meanwhile, and those that were
// given up.
func (o *leftover) callOff(ctx context.Context) {
	o.mu.Lock()
	keys := slices.Collect(maps.Keys(o.pushes))
	o.mu.Unlock()
	ids := make([]job.ID, len(keys))
	for i, key := range keys {
		ids[i] = key.id
	}
	jobs, err := o.l.d.store.Jobs(ctx, ids...)
	if err != nil {
		return // the next look will tell
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		j, cancel := jobs[key.id], o.pushes[key]
		if cancel != nil && (j == nil || j.Settled() || j.Attempt >= key.attempt) {
			cancel()
		}
	}
}

// abort closes the requests of all pushes.
func (o *leftover) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, cancel := range o.pushes {
		cancel()
	}
}
