package store

import (
	"bytes"
	"context"
	"errors"
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
	// Drain says that the node is to give up its shards (see DrainNode).
	Drain bool
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

// DeleteNode removes a node's record, and that it is to drain, if they are there.
func (s *Store) DeleteNode(ctx context.Context, id string) error {
	if err := s.changeNode(ctx, engine.Group{Deletes: [][]byte{appendNodeKey(id), appendDrainKey(id)}}); err != nil {
		return fmt.Errorf("store: remove node %s: %w", id, err)
	}
	return nil
}

// DrainNode notes that a node is to drain, or with on false that it is not any more.
// It returns ErrNotFound where the node has no record. It may be repeated.
func (s *Store) DrainNode(ctx context.Context, id string, on bool) error {
	err := s.drainNode(ctx, id, on)
	if err != nil {
		return fmt.Errorf("store: drain node %s: %w", id, err)
	}
	return nil
}

func (s *Store) drainNode(ctx context.Context, id string, on bool) error {
	for {
		values, err := s.engine.Get(ctx, documentShard, appendNodeKey(id))
		switch {
		case err != nil:
			return err
		case values[0] == nil:
			return ErrNotFound
		}
		// The record is written each second: who deletes it is not to leave this behind.
		g := engine.Group{Guards: []engine.Guard{{Key: appendNodeKey(id), Value: values[0]}}}
		if on {
			g.Puts = []engine.Entry{{Key: appendDrainKey(id), Value: []byte{}}}
		} else {
			g.Deletes = [][]byte{appendDrainKey(id)}
		}
		if err := s.applyGuarded(ctx, g); !errors.Is(err, errChanged) {
			return err
		}
	}
}

func (s *Store) changeNode(ctx context.Context, g engine.Group) error {
	_, err := s.engine.Apply(ctx, documentShard, &engine.Batch{Groups: []engine.Group{g}})
	return err
}

// Cluster is what the store knows of the nodes that use it.
type Cluster struct {
	// Nodes are the records of all nodes, by id.
	Nodes []NodeRecord
	// Leader is the one of the newest term, Placement what a leader has written; nil
	// where none has.
	Leader    Leader
	Placement []byte
	// Now is the store's time at which they were read.
	Now time.Time
}

// Cluster returns what is known of the nodes, as it stands at one moment.
func (s *Store) Cluster(ctx context.Context) (Cluster, error) {
	entries, err := s.engine.Scan(ctx, documentShard, engine.Range{From: []byte{spaceDrain}, To: []byte{spaceLeader + 1}, Limit: engine.MaxScan})
	if err != nil {
		return Cluster{}, fmt.Errorf("store: cluster: %w", err)
	}
	var c Cluster
	drains := make(map[string]bool)
	for _, e := range entries {
		switch {
		case e.Key[0] == spaceNode:
			var n NodeRecord
			n, err = parseNode(e)
			n.Drain = drains[n.ID]
			c.Nodes = append(c.Nodes, n)
		case e.Key[0] == spaceDrain:
			drains[string(e.Key[1:])] = true
		case bytes.Equal(e.Key, leaderKey):
			c.Leader, err = parseLeader(e.Value)
		case bytes.Equal(e.Key, placementKey):
			c.Placement = bytes.Clone(e.Value)
		}
		if err != nil {
			return Cluster{}, fmt.Errorf("store: cluster: %w", err)
		}
	}
	if c.Now, err = s.engine.Now(ctx); err != nil {
		return Cluster{}, fmt.Errorf("store: cluster: %w", err)
	}
	return c, nil
}

func appendDrainKey(id string) []byte { return append([]byte{spaceDrain}, id...) }

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
