package store

import (
	"context"
	"fmt"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Send puts a command into the inbox of its job's shard and returns its place
// there. It is durable on return. After ErrUnavailable it may be in the inbox
// or not; to send it again does no harm, since a command says what should be,
// and the owner answers each from how the job stands. At is set by the store.
func (s *Store) Send(ctx context.Context, c Command) (seq uint64, err error) {
	return s.SendAll(ctx, c.ID.Shard(), []Command{c})
}

// SendAll is Send for commands to jobs of one shard, all of them or none, in
// their order; there must be at least one. It returns the place of the last:
// when that is answered, all are.
func (s *Store) SendAll(ctx context.Context, shard int, commands []Command) (last uint64, err error) {
	if len(commands) == 0 {
		return 0, fmt.Errorf("store: send to shard %d: %w: no commands", shard, ErrInvalid)
	}
	if shard >= s.Shards() {
		return 0, fmt.Errorf("store: send to %s: %w", commands[0].ID, ErrNotFound)
	}
	at, err := s.engine.Now(ctx)
	if err != nil {
		return 0, fmt.Errorf("store: send to shard %d: %w", shard, err)
	}
	key := []byte{spaceInbox}
	stamped := make([]engine.Entry, len(commands))
	for i, c := range commands {
		if c.ID.Shard() != shard {
			return 0, fmt.Errorf("store: send to shard %d: %w: %s is in another", shard, ErrInvalid, c.ID)
		}
		if len(c.Report) > MaxReport {
			return 0, fmt.Errorf("store: send to shard %d: %w: a report of %d bytes", shard, ErrInvalid, len(c.Report))
		}
		c.At = at
		stamped[i] = engine.Entry{Key: key, Value: appendCommand(nil, &c)}
	}
	result, err := s.engine.Apply(ctx, shard, &engine.Batch{Groups: []engine.Group{{Stamped: stamped}}})
	if err != nil {
		return 0, fmt.Errorf("store: send to shard %d: %w", shard, err)
	}
	return result.Groups[0].FirstSeq + uint64(len(commands)) - 1, nil
}

// InboxPending reports whether the owner has yet to answer a command.
func (s *Store) InboxPending(ctx context.Context, shard int, seq uint64) (bool, error) {
	values, err := s.engine.Get(ctx, shard, appendNumberKey(nil, spaceInbox, seq))
	if err != nil {
		return false, fmt.Errorf("store: inbox of shard %d: %w", shard, err)
	}
	return values[0] != nil, nil
}

// ReadInbox returns the oldest commands, up to limit, with their jobs as they
// stand. An entry's Place is InTimers where the job's timer is there, else
// InLane for a waiting job, and Nowhere for a terminal one: whether the job is
// being pushed the owner itself knows. more says that there may be others.
func (o *Owner) ReadInbox(ctx context.Context, limit int) (commands []Command, more bool, err error) {
	// Numbers only rise, so nothing appears below what was the oldest once: the
	// remains of all that was answered need not be walked over each time.
	entries, err := o.store.engine.Scan(ctx, o.shard, engine.Range{
		From: appendNumberKey(nil, spaceInbox, o.inbox.Load()), To: []byte{spaceInbox + 1}, Limit: limit,
	})
	if err != nil {
		return nil, false, o.failed("read inbox", err)
	}
	commands = make([]Command, len(entries))
	standing := make([]placed, len(entries))
	for i, e := range entries {
		c, err := parseCommand(e.Value)
		if err != nil {
			return nil, false, o.failed("read inbox", err)
		}
		if c.Seq, err = parseNumber(e.Key); err != nil {
			return nil, false, o.failed("read inbox", err)
		}
		commands[i], standing[i].id = c, c.ID
	}
	n, err := o.loadAsked(ctx, commands)
	if err != nil {
		return nil, false, o.failed("read inbox", err)
	}
	more = n < len(commands) || n == limit
	commands, standing = commands[:n], standing[:n]
	if len(commands) > 0 {
		o.inbox.Store(commands[0].Seq)
	}
	if err := o.place(ctx, standing); err != nil {
		return nil, false, o.failed("read inbox", err)
	}
	o.tracker.foundInInbox(commands)
	for i := range commands {
		commands[i].Entry = standing[i].entry
	}
	if err := o.findHeld(ctx, commands); err != nil {
		return nil, false, o.failed("read inbox", err)
	}
	return commands, more, nil
}
