package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Leader is the node that leads the cluster, or last did. A lock decides who may
// begin a term; what is written in one is fenced here, since two nodes may believe
// that they hold the lock.
type Leader struct {
	// Term is the number of the newest term, 0 where there never was one. It only
	// rises.
	Term uint64
	// Node is the term's leader; empty where it has resigned.
	Node string
}

var (
	leaderKey    = []byte{spaceLeader, 0}
	placementKey = []byte{spaceLeader, 1}
)

// ErrTerm says that a newer term has begun, and that what was to be written in an older
// one is not.
var ErrTerm = errors.New("a newer term has begun")

// BeginTerm makes the node the leader of a new term and returns it. After
// ErrUnavailable the term may have begun; to call it again begins another.
func (s *Store) BeginTerm(ctx context.Context, node string) (Leader, error) {
	if node == "" || len(node) > MaxNodeID {
		return Leader{}, fmt.Errorf("store: term of node %.64q: %w", node, ErrInvalid)
	}
	for {
		values, err := s.engine.Get(ctx, documentShard, leaderKey)
		var l Leader
		if err == nil && values[0] != nil {
			l, err = parseLeader(values[0])
		}
		if err == nil {
			l = Leader{l.Term + 1, node}
			err = s.applyGuarded(ctx, engine.Group{
				Guards: []engine.Guard{{Key: leaderKey, Value: values[0]}}, Puts: []engine.Entry{{Key: leaderKey, Value: appendLeader(l)}},
			})
		}
		switch {
		case errors.Is(err, errChanged):
		case err != nil:
			return Leader{}, fmt.Errorf("store: begin a term of node %s: %w", node, err)
		default:
			return l, nil
		}
	}
}

// EndTerm notes that the term's leader has resigned. It returns ErrTerm where the
// term is not the newest.
func (s *Store) EndTerm(ctx context.Context, l Leader) error {
	return s.inTerm(ctx, "end", l, engine.Group{Puts: []engine.Entry{{Key: leaderKey, Value: appendLeader(Leader{Term: l.Term})}}})
}

// PutPlacement writes where the term's leader places the shards. It returns ErrTerm
// where the term is not the newest; then nothing was written. It may be repeated.
func (s *Store) PutPlacement(ctx context.Context, l Leader, placement []byte) error {
	return s.inTerm(ctx, "write the placement", l, engine.Group{Puts: []engine.Entry{{Key: placementKey, Value: placement}}})
}

// ForgetNode is DeleteNode by the term's leader. It returns ErrTerm where the term is
// not the newest.
func (s *Store) ForgetNode(ctx context.Context, l Leader, id string) error {
	return s.inTerm(ctx, "forget node "+id, l, engine.Group{Deletes: [][]byte{appendNodeKey(id), appendDrainKey(id)}})
}

// inTerm applies a group in one step with the comparison of the term.
func (s *Store) inTerm(ctx context.Context, what string, l Leader, g engine.Group) error {
	g.Guards = []engine.Guard{{Key: leaderKey, Value: appendLeader(l)}}
	err := s.applyGuarded(ctx, g)
	if errors.Is(err, errChanged) {
		err = ErrTerm
	}
	if err != nil {
		return fmt.Errorf("store: %s in term %d: %w", what, l.Term, err)
	}
	return nil
}

// appendLeader is the term's number and the node.
func appendLeader(l Leader) []byte {
	return append(appendNumberKey(nil, leaderFormat, l.Term), l.Node...)
}

// leaderFormat is the first byte of a leader's record.
const leaderFormat = 1

func parseLeader(b []byte) (l Leader, err error) {
	if len(b) < 9 || b[0] != leaderFormat {
		return l, fmt.Errorf("%w: record of the leader", engine.ErrCorrupt)
	}
	l.Term, err = parseNumber(b[:9])
	l.Node = string(b[9:])
	return l, err
}
