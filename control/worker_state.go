package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/webhook"
)

// GetWorker returns a worker that is registered.
func (c *Control) GetWorker(ctx context.Context, name string) (Worker, error) {
	d, now, err := c.workerFor(ctx, name)
	if err != nil {
		return Worker{}, err
	}
	return c.worker(&d, now), nil
}

func (c *Control) workerFor(ctx context.Context, name string) (document[workerRecord], time.Time, error) {
	now, err := c.store.Now(ctx)
	if err != nil {
		return document[workerRecord]{}, now, storeError("read the worker", err)
	}
	d, err := get[workerRecord](ctx, c, kindWorker, name)
	if err != nil {
		return d, now, err
	}
	see, err := visible(ctx)
	if err != nil {
		return d, now, err
	}
	if d.Version == 0 || !seesWorker(see, &d.Value) {
		return d, now, notFound("worker", name)
	}
	return d, now, nil
}

// seesWorker reports whether at least one of the worker's queues may be seen.
func seesWorker(see func(string) bool, r *workerRecord) bool {
	return see == nil || slices.ContainsFunc(r.Queues, see)
}

// WorkerList is one page of workers, by name.
type WorkerList struct {
	Workers []Worker
	Cursor  string
}

// ListWorkers returns a page of the workers that serve a queue which the
// context's principal may read.
func (c *Control) ListWorkers(ctx context.Context, cursor string, limit int) (WorkerList, error) {
	see, err := visible(ctx)
	if err != nil {
		return WorkerList{}, err
	}
	after, err := checkPage("workers", cursor, &limit)
	if err != nil {
		return WorkerList{}, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return WorkerList{}, storeError("list workers", err)
	}
	docs, err := c.store.ListDocuments(ctx, kindWorker, after, limit)
	if err != nil {
		return WorkerList{}, storeError("list workers", err)
	}
	var list WorkerList
	for _, doc := range docs {
		d, err := decode[workerRecord](doc)
		if err != nil {
			return WorkerList{}, err
		}
		if seesWorker(see, &d.Value) {
			list.Workers = append(list.Workers, c.worker(&d, now))
		}
	}
	if len(docs) == limit {
		list.Cursor = encodeCursor(docs[limit-1].Name, "workers")
	}
	return list, nil
}

// checkPage fills in the default limit and returns the name after which the page
// begins.
func checkPage(list, cursor string, limit *int) (after string, err error) {
	var f faults
	f.add("limit", checkLimit(limit))
	if cursor != "" {
		if after, err = decodeCursor(cursor, list); err != nil {
			f.add("cursor", err.Error())
		}
	}
	if len(f) > 0 {
		return "", invalid(f...)
	}
	return after, nil
}

// DeleteWorker ends a registration. Jobs of its queues stay; its pushes in
// flight are finished.
func (c *Control) DeleteWorker(ctx context.Context, name string, m Match) error {
	return remove(ctx, c, kindWorker, name, m, func(d *document[workerRecord]) error {
		return allowWorker(ctx, ActionWriteWorkers, &d.Value)
	})
}

// PauseWorker stops new pushes to a worker, for a reason that is shown. A worker
// that is paused gets the new reason.
func (c *Control) PauseWorker(ctx context.Context, name, reason string) (Worker, error) {
	if message := checkText(reason, MaxReason); message != "" {
		return Worker{}, invalidField("reason", "%s", message)
	}
	return c.changeState(ctx, name, func(r *workerRecord, now time.Time) (webhook.Secret, error) {
		r.pause = pause{Paused: true, Reason: reason, PausedAt: now, ResumedAt: r.ResumedAt}
		return webhook.Secret{}, nil
	})
}

// ResumeWorker lets pushes to a worker begin again. It closes its circuits, also
// those of a worker that was not paused, and forgets its failures.
func (c *Control) ResumeWorker(ctx context.Context, name string) (Worker, error) {
	return c.changeState(ctx, name, func(r *workerRecord, now time.Time) (webhook.Secret, error) {
		r.pause = pause{ResumedAt: now}
		return webhook.Secret{}, nil
	})
}

// RotateSecret gives a worker a new secret, which is in the answer and nowhere
// later; the one before signs too until its grace has ended.
func (c *Control) RotateSecret(ctx context.Context, name string, r Rotation) (Worker, error) {
	grace, secret, err := r.check()
	if err != nil {
		return Worker{}, err
	}
	return c.changeState(ctx, name, func(w *workerRecord, now time.Time) (webhook.Secret, error) {
		next, err := w.Secrets.rotate(secret, grace, now)
		if err != nil {
			return webhook.Secret{}, err
		}
		w.Secrets = next
		return secret, nil
	})
}

// RotateKey gives a worker that signs with a key pair a new one; the one before
// signs too until its grace has ended. Worker.PublicKeys tells both.
func (c *Control) RotateKey(ctx context.Context, name string, r Rotation) (Worker, error) {
	grace, key, err := r.checkKey()
	if err != nil {
		return Worker{}, err
	}
	return c.changeState(ctx, name, func(w *workerRecord, now time.Time) (webhook.Secret, error) {
		if len(w.Keys) == 0 {
			return webhook.Secret{}, conflict("no_signing_key", "worker %s has no key pair: give it one with signing_key", name)
		}
		next, err := w.Keys.rotate(key, grace, now)
		if err == nil {
			w.Keys = next
		}
		return webhook.Secret{}, err
	})
}

func (c *Control) changeState(ctx context.Context, name string, edit func(*workerRecord, time.Time) (webhook.Secret, error)) (Worker, error) {
	now, err := c.store.Now(ctx)
	if err != nil {
		return Worker{}, storeError("change the worker", err)
	}
	var secret webhook.Secret
	d, _, err := change(ctx, c, kindWorker, name, Match{}, func(d *document[workerRecord]) (err error) {
		if d.Version == 0 {
			return notFound("worker", name)
		}
		if err := allowWorker(ctx, ActionWriteWorkers, &d.Value); err != nil {
			return err
		}
		secret, err = edit(&d.Value, now)
		return err
	})
	if err != nil {
		return Worker{}, err
	}
	w := c.worker(&d, now)
	w.Secret = secret.Reveal()
	return w, nil
}

// goneReason is what is shown of a worker that answered 410.
const goneReason = "it answered 410 Gone"

// pauseGone pauses a worker that answered 410, unless it was removed, changed
// since, or told to ignore that.
func (c *Control) pauseGone(ctx context.Context, g pauseRequest) error {
	d, err := get[workerRecord](ctx, c, kindWorker, g.name)
	if err != nil {
		return err
	}
	if d.Version == 0 || d.Value.Paused || d.Value.OnGone == OnGoneIgnore || d.Updated.After(g.at) {
		return nil
	}
	c.log.Warn("a worker answered 410 Gone and is paused", "worker", g.name)
	return c.pauseFor(ctx, g.name, goneReason)
}

// servedBy returns the names of the workers that serve a queue.
func (c *Control) servedBy(queue string) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.live.workers)) {
		d := c.live.workers[name]
		if slices.Contains(d.Value.Queues, queue) {
			names = append(names, name)
		}
	}
	return names
}
