package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

const (
	// stepJobs is how many jobs a step changes: as many as an owner answers in one
	// commit, so that an inbox is never longer than one commit for each operation.
	stepJobs = 500
	// MaxOperations is how many operations may run at once. More would only share
	// what the shards' owners can do.
	MaxOperations = 16
	// Of the operations that are over, the newest are kept, and those no longer
	// than operationTTL. The others are removed when the next one begins.
	keptOperations = 1_000
	operationTTL   = 7 * 24 * time.Hour
)

// operations are those that this node runs. An operation is run by the node that
// was asked for it and, when that is gone, by whoever claims it first.
type operations struct {
	runner string          // names this life of this node in what it runs
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex
	running map[string]struct{}
}

func (o *operations) init() {
	o.ctx, o.cancel = context.WithCancel(As(context.Background(), Root()))
	o.running = make(map[string]struct{})
	o.runner = rand.Text()
}

// run calls f, in a goroutine of its own, unless the operation is being run
// already or all is to end.
func (o *operations) run(id string, f func(ctx context.Context)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, twice := o.running[id]; twice || o.ctx.Err() != nil {
		return
	}
	o.running[id] = struct{}{}
	o.wait.Go(func() {
		f(o.ctx)
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.running, id)
	})
}

func (o *operations) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.running) >= MaxOperations
}

// stop leaves all operations where they are and waits until nothing of them
// runs. They go on with the next Load.
func (o *operations) stop() {
	o.mu.Lock()
	o.cancel()
	o.mu.Unlock()
	o.wait.Wait()
}

// startOperation begins an operation on the jobs of a selection.
func (c *Control) startOperation(ctx context.Context, kind string, s JobSelection) (Operation, error) {
	return c.begin(ctx, operationRecord{Kind: kind, Filter: s})
}

// begin stores an operation and begins it.
func (c *Control) begin(ctx context.Context, r operationRecord) (Operation, error) {
	if c.operations.full() {
		return Operation{}, conflict("too_many_operations", "%d operations are running; wait for one to end, or cancel one", MaxOperations)
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return Operation{}, storeError("begin an operation", err)
	}
	p, _ := ctx.Value(principalKey{}).(Principal)
	r.By, r.Status, r.Until, r.Runner = p.Name, OperationRunning, untilNow(now), c.operations.runner
	d := document[operationRecord]{Value: r}
	d.Name = newOperationID(now)
	if err := c.putOperation(ctx, &d); err != nil {
		return Operation{}, err
	}
	c.log.Info("an operation begins", "operation", d.Name, "kind", r.Kind, "by", p.Name)
	c.runOperation(d.Name)
	return shownOperation(&d), nil
}

// resumeOperations goes on with the operations that have not ended.
func (c *Control) resumeOperations(ctx context.Context) error {
	docs, err := all[operationRecord](ctx, c, kindOperation)
	if err != nil {
		return err
	}
	for i := range docs {
		if !docs[i].Value.over() {
			c.runOperation(docs[i].Name)
		}
	}
	return nil
}

// runOperation works on an operation until it is over. While the store does not
// answer it tries again; any other error ends the operation.
func (c *Control) runOperation(id string) {
	c.operations.run(id, func(ctx context.Context) {
		if err := c.pruneOperations(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("old operations are kept for now", "error", err)
		}
		var failure error
		for pause := keeperPause; ctx.Err() == nil; pause = min(2*pause, keeperPatience) {
			err := c.operate(ctx, id, failure)
			if err == nil || ctx.Err() != nil {
				return
			}
			if KindOf(err) != Unavailable {
				failure = err
			}
			c.log.Warn("an operation does not get on", "operation", id, "error", err, "in", pause)
			sleep(ctx, pause)
		}
	})
}

// operate takes step after step until the operation is over. Each step is
// stored before it is taken, and its outcome together with the next one: so a
// step that a crash interrupted is taken again as it was, which changes nothing
// twice since its commands name incarnations, and is counted once.
func (c *Control) operate(ctx context.Context, id string, failure error) error {
	d, err := get[operationRecord](ctx, c, kindOperation, id)
	if err != nil {
		return err
	}
	r := &d.Value
	if claimed, err := c.claimOperation(ctx, &d); err != nil || !claimed {
		return err
	}
	for !r.over() {
		now, err := c.store.Now(ctx)
		if err != nil {
			return storeError("go on with an operation", err)
		}
		switch {
		case failure != nil:
			r.Error = failure.Error()
			r.end(OperationFailed, now)
		case r.CancelRequested:
			r.end(OperationCancelled, now)
		default:
			if err := c.step(ctx, id, r, now); err != nil {
				return err
			}
		}
		err = c.saveOperation(ctx, &d)
		if errors.Is(err, errTaken) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	c.log.Info("an operation has ended", "operation", id, "kind", r.Kind, "status", r.Status, "matched", r.Matched, "done", r.Done, "skipped", r.Skipped)
	return nil
}

// operationLease is how long an operation may rest before another node takes it
// for abandoned. A node that only was slow notices with its next write; the step
// that both take changes nothing twice, and is counted by one of them.
const operationLease = 30 * time.Second

// errTaken: another node runs the operation by now.
var errTaken = errors.New("another node runs the operation")

// claimOperation makes this node the one that runs an operation, unless another
// does, or it is over or gone. A node that has the store for itself is the only one
// that can.
func (c *Control) claimOperation(ctx context.Context, d *document[operationRecord]) (claimed bool, err error) {
	for {
		if d.Version == 0 || d.Value.over() {
			return false, nil
		}
		if d.Value.Runner == c.operations.runner {
			return true, nil
		}
		now, err := c.store.Now(ctx)
		if err != nil {
			return false, storeError("go on with an operation", err)
		}
		if c.o.Shared && now.Sub(d.Updated) < operationLease {
			return false, nil
		}
		d.Value.Runner = c.operations.runner
		err = c.putOperation(ctx, d)
		if !errors.Is(err, store.ErrVersion) {
			return err == nil, err
		}
		if *d, err = get[operationRecord](ctx, c, kindOperation, d.Name); err != nil {
			return false, err
		}
	}
}

// adoptOperations goes on, now and then until ctx ends, with operations whose node
// is gone.
func (c *Control) adoptOperations(ctx context.Context) {
	for sleep(ctx, operationLease/2); ctx.Err() == nil; sleep(ctx, operationLease/2) {
		if err := c.resumeOperations(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("operations of nodes that are gone are left for now", "error", err)
		}
	}
}

// step takes the step that is stored and looks for the next one.
func (c *Control) step(ctx context.Context, id string, r *operationRecord, now time.Time) error {
	if r.Backfill != nil {
		return c.stepBackfill(ctx, id, r, now)
	}
	if len(r.Step) > 0 {
		done, err := c.carryOut(ctx, bulks[r.Kind], r.Step)
		if err != nil {
			return err
		}
		r.Done += int64(done)
		r.Skipped += int64(len(r.Step) - done)
		r.Step = nil
	}
	if r.Listed {
		r.end(OperationSucceeded, now)
		return nil
	}
	jobs, err := c.nextPage(ctx, r, stepJobs)
	if err != nil {
		return err
	}
	r.Step = targetsOf(jobs)
	r.Matched += int64(len(jobs))
	return nil
}

// carryOut has the owners change the jobs, waits until they have answered, and
// returns how many were changed.
func (c *Control) carryOut(ctx context.Context, b bulk, step targets) (done int, err error) {
	byShard := map[int][]store.Command{}
	ids := make([]job.ID, len(step))
	for i, t := range step {
		ids[i] = t.id
		byShard[t.id.Shard()] = append(byShard[t.id.Shard()], store.Command{Kind: b.command, ID: t.id, Incarnation: t.incarnation + 1})
	}
	if err := c.sendEach(ctx, byShard); err != nil {
		return 0, err
	}
	c.totals.commands.Add(uint64(len(step)))
	jobs, err := c.store.Jobs(ctx, ids...)
	if err != nil {
		return 0, storeError("read what became of the jobs", err)
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return 0, storeError("read what became of the jobs", err)
	}
	for _, t := range step {
		if b.done(jobs[t.id], t.incarnation, now) {
			done++
		}
	}
	return done, nil
}

// sendEach is sendAll for several shards at once.
func (c *Control) sendEach(ctx context.Context, byShard map[int][]store.Command) error {
	var wait sync.WaitGroup
	errs := make([]error, len(byShard))
	for i, shard := range slices.Sorted(maps.Keys(byShard)) {
		wait.Go(func() { errs[i] = c.sendAll(ctx, shard, byShard[shard]) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// sendAll puts commands into a shard's inbox and waits, for as long as it takes,
// until its owner has answered them.
func (c *Control) sendAll(ctx context.Context, shard int, commands []store.Command) error {
	last, err := c.store.SendAll(ctx, shard, commands)
	if err != nil {
		return storeError("send commands", err)
	}
	for consumed := false; !consumed; {
		c.dispatch.Wake(shard)
		if consumed, err = c.consumed(ctx, shard, last); err != nil {
			return storeError("wait for commands", err)
		}
	}
	return nil
}

// saveOperation stores an operation as it is in memory. Where somebody asked
// for its end meanwhile, that is stored instead of the next step.
func (c *Control) saveOperation(ctx context.Context, d *document[operationRecord]) error {
	for {
		err := c.putOperation(ctx, d)
		if !errors.Is(err, store.ErrVersion) {
			return err
		}
		stored, err := get[operationRecord](ctx, c, kindOperation, d.Name)
		if err != nil {
			return err
		}
		if stored.Value.Runner != d.Value.Runner {
			return errTaken
		}
		d.Version = stored.Version
		if stored.Value.CancelRequested && !d.Value.over() {
			now, err := c.store.Now(ctx)
			if err != nil {
				return storeError("store the operation", err)
			}
			d.Value.end(OperationCancelled, now)
		}
	}
}

// putOperation stores an operation in the place of the version that it was read
// in. The error matches store.ErrVersion where another stands there.
func (c *Control) putOperation(ctx context.Context, d *document[operationRecord]) error {
	data, err := json.Marshal(&d.Value)
	if err != nil {
		return fmt.Errorf("encode operation %s: %w", d.Name, err)
	}
	stored, _, err := c.putDocument(ctx, kindOperation, d.Name, data, standing(d.Version))
	if err != nil {
		return storeError("store the operation", err)
	}
	d.Document = stored
	return nil
}

// pruneOperations removes operations that have been over for long.
func (c *Control) pruneOperations(ctx context.Context) error {
	docs, err := all[operationRecord](ctx, c, kindOperation)
	if err != nil {
		return err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return storeError("remove old operations", err)
	}
	kept := 0
	for _, d := range slices.Backward(docs) { // the newest first
		if !d.Value.over() {
			continue
		}
		if kept++; kept <= keptOperations && now.Sub(d.Value.FinishedAt) < operationTTL {
			continue
		}
		err := c.deleteDocument(ctx, kindOperation, d.Name, store.ExpectVersion(d.Version))
		if err != nil && !errors.Is(err, store.ErrVersion) && !errors.Is(err, store.ErrNotFound) {
			return storeError("remove old operations", err)
		}
	}
	return nil
}
