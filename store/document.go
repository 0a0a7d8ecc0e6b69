package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/store/engine"
)

// Document is a named piece of configuration: a worker, a queue, an API key.
// What is in it is its writer's business.
type Document struct {
	Kind, Name string
	// Version is 1 for a new document and rises by 1 with each change.
	Version          uint64
	Created, Updated time.Time
	Data             []byte
}

// Expect is the condition of a change of a document.
type Expect struct {
	absent  bool
	version uint64
}

// ExpectAny makes no condition. It is the zero Expect.
var ExpectAny = Expect{}

// ExpectAbsent wants the document not to be there.
var ExpectAbsent = Expect{absent: true}

// ExpectVersion wants the document to be there, in that version.
func ExpectVersion(v uint64) Expect { return Expect{version: v} }

func (e Expect) met(d *Document) bool {
	switch {
	case e.absent:
		return d == nil
	case e.version != 0:
		return d != nil && d.Version == e.version
	default:
		return true
	}
}

// documentShard is where all documents are: they are few, and a list of them
// is one scan.
const documentShard = 0

// MaxDocumentName bounds a document's kind and name together, in bytes.
const MaxDocumentName = 1 << 10

// errChanged says that a document changed between reading and writing.
var errChanged = errors.New("document changed meanwhile")

func checkDocument(kind, name string) error {
	if kind == "" || name == "" || strings.IndexByte(kind, 0) >= 0 || len(kind)+len(name) > MaxDocumentName {
		return fmt.Errorf("%w: document %.64q/%.64q", ErrInvalid, kind, name)
	}
	return nil
}

// GetDocument returns a document, or ErrNotFound.
func (s *Store) GetDocument(ctx context.Context, kind, name string) (Document, error) {
	d, _, err := s.document(ctx, kind, name)
	if err == nil && d == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Document{}, fmt.Errorf("store: document %s/%s: %w", kind, name, err)
	}
	return *d, nil
}

// document returns a document and how it is stored; nil where it is absent.
func (s *Store) document(ctx context.Context, kind, name string) (*Document, []byte, error) {
	if err := checkDocument(kind, name); err != nil {
		return nil, nil, err
	}
	values, err := s.engine.Get(ctx, documentShard, appendDocumentKey(nil, kind, name))
	if err != nil || values[0] == nil {
		return nil, nil, err
	}
	d, err := parseDocument(kind, name, bytes.Clone(values[0]))
	return &d, values[0], err
}

// PutDocument creates or replaces a document and returns it, and whether it is
// new. It returns ErrVersion where expect is not met. After ErrUnavailable the
// document may have been written.
func (s *Store) PutDocument(ctx context.Context, kind, name string, data []byte, expect Expect) (doc Document, created bool, err error) {
	doc = Document{Kind: kind, Name: name, Data: data}
	err = s.changeDocument(ctx, kind, name, expect, func(old *Document, key []byte) (engine.Group, error) {
		now, err := s.engine.Now(ctx)
		if err != nil {
			return engine.Group{}, err
		}
		doc.Version, doc.Created, doc.Updated, created = 1, now, now, old == nil
		if old != nil {
			doc.Version, doc.Created = old.Version+1, old.Created
		}
		return engine.Group{Puts: []engine.Entry{{Key: key, Value: appendDocument(nil, &doc)}}}, nil
	})
	if err != nil {
		return Document{}, false, fmt.Errorf("store: put document %s/%s: %w", kind, name, err)
	}
	return doc, created, nil
}

// DeleteDocument removes a document. It returns ErrNotFound where there is
// none, and ErrVersion where expect is not met.
func (s *Store) DeleteDocument(ctx context.Context, kind, name string, expect Expect) error {
	err := s.changeDocument(ctx, kind, name, expect, func(old *Document, key []byte) (engine.Group, error) {
		if old == nil {
			return engine.Group{}, ErrNotFound
		}
		return engine.Group{Deletes: [][]byte{key}}, nil
	})
	if err != nil {
		return fmt.Errorf("store: delete document %s/%s: %w", kind, name, err)
	}
	return nil
}

// changeDocument reads a document, and applies what change makes of it unless
// another writer came between; then it looks again.
func (s *Store) changeDocument(ctx context.Context, kind, name string, expect Expect, change func(*Document, []byte) (engine.Group, error)) error {
	for {
		old, stored, err := s.document(ctx, kind, name)
		if err != nil {
			return err
		}
		key := appendDocumentKey(nil, kind, name)
		group, err := change(old, key)
		if err != nil {
			return err
		}
		if !expect.met(old) {
			return ErrVersion
		}
		group.Guards = []engine.Guard{{Key: key, Value: stored}}
		group.Counters = []engine.Counter{{Name: []byte{spaceRevision}, Value: 1}}
		if err = s.applyGuarded(ctx, group); !errors.Is(err, errChanged) {
			return err
		}
	}
}

func (s *Store) applyGuarded(ctx context.Context, group engine.Group) error {
	result, err := s.engine.Apply(ctx, documentShard, &engine.Batch{Groups: []engine.Group{group}})
	if err != nil {
		return err
	}
	if result.Groups[0].Skipped {
		return errChanged
	}
	return nil
}

// ListDocuments returns up to limit documents of a kind, by name, beginning
// after the name after.
func (s *Store) ListDocuments(ctx context.Context, kind, after string, limit int) ([]Document, error) {
	prefix := appendName(nil, spaceDocument, kind)
	from := append(append(bytes.Clone(prefix), after...), 0)
	if after == "" {
		from = prefix
	}
	to := append(bytes.Clone(prefix[:len(prefix)-1]), 1)
	entries, err := s.engine.Scan(ctx, documentShard, engine.Range{From: from, To: to, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("store: list documents %s: %w", kind, err)
	}
	documents := make([]Document, len(entries))
	for i, e := range entries {
		if documents[i], err = parseDocument(kind, string(e.Key[len(prefix):]), e.Value); err != nil {
			return nil, err
		}
	}
	return documents, nil
}

// Revision returns a number that rises with every change of any document.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	values, err := s.engine.Counters(ctx, documentShard, []byte{spaceRevision})
	if err != nil {
		return 0, fmt.Errorf("store: revision: %w", err)
	}
	return values[0], nil
}

// WatchDocuments is Watch for the documents and the records of nodes.
func (s *Store) WatchDocuments() (changed <-chan struct{}, stop func()) {
	return s.Watch(documentShard)
}
