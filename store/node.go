package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// NodeRecord is what a node tells of itself. It is no document: it is written every
// second, and does not change the configuration.
type NodeRecord struct {
	ID string
	// At is when it was written, by the store's time.
	At time.Time
	// Data is its writer's business.
	Data []byte
}

// MaxNodeID bounds a node's id in bytes.
const MaxNodeID = 128

// PutNode writes a node's record, in the place of the one before. After
// ErrUnavailable it may have been written.
func (s *Store) PutNode(ctx context.Context, id string, data []byte) error {
	if id == "" || len(id) > MaxNodeID {
		return fmt.Errorf("store: node %.64q: %w", id, ErrInvalid)
	}
	now, err := s.engine.Now(ctx)
	if err == nil {
		err = s.changeNode(ctx, engine.Group{Puts: []engine.Entry{{Key: appendNodeKey(id), Value: appendNode(now, data)}}})
	}
	if err != nil {
		return fmt.Errorf("store: write node %s: %w", id, err)
	}
	return nil
}

// DeleteNode removes a node's record, if there is one.
func (s *Store) DeleteNode(ctx context.Context, id string) error {
	if err := s.changeNode(ctx, engine.Group{Deletes: [][]byte{appendNodeKey(id)}}); err != nil {
		return fmt.Errorf("store: remove node %s: %w", id, err)
	}
	return nil
}

func (s *Store) changeNode(ctx context.Context, g engine.Group) error {
	_, err := s.engine.Apply(ctx, documentShard, &engine.Batch{Groups: []engine.Group{g}})
	return err
}

// Nodes returns the records of all nodes, by id, and the store's time at which
// they were read.
func (s *Store) Nodes(ctx context.Context) (nodes []NodeRecord, now time.Time, err error) {
	entries, err := s.engine.Scan(ctx, documentShard, engine.Range{From: []byte{spaceNode}, To: []byte{spaceNode + 1}, Limit: engine.MaxScan})
	if err == nil {
		now, err = s.engine.Now(ctx)
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("store: nodes: %w", err)
	}
	nodes = make([]NodeRecord, len(entries))
	for i, e := range entries {
		if nodes[i], err = parseNode(e); err != nil {
			return nil, time.Time{}, fmt.Errorf("store: nodes: %w", err)
		}
	}
	return nodes, now, nil
}

func appendNodeKey(id string) []byte { return append([]byte{spaceNode}, id...) }

// appendNode is a record's value: the time, then the data.
func appendNode(at time.Time, data []byte) []byte {
	return append(appendNumberKey(nil, nodeFormat, uint64(millis(at))), data...)
}

// nodeFormat is the first byte of a record.
const nodeFormat = 1

func parseNode(e engine.Entry) (NodeRecord, error) {
	if len(e.Value) < 9 || e.Value[0] != nodeFormat {
		return NodeRecord{}, fmt.Errorf("%w: record of node %q", engine.ErrCorrupt, e.Key[1:])
	}
	ms, err := parseNumber(e.Value[:9])
	return NodeRecord{ID: string(e.Key[1:]), At: timeOf(int64(ms)), Data: bytes.Clone(e.Value[9:])}, err
}
