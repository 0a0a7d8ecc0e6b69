package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/orchestrix/orchestrix/store"
)

// The kinds of documents that control keeps.
const (
	kindWorker  = "worker"
	kindQueue   = "queue"
	kindAPIKey  = "api-key"
	kindSigning = "signing"

	kindOperation = "operation"
)

// DocumentKinds returns the kinds of all documents that control keeps.
func DocumentKinds() []string {
	return []string{kindWorker, kindQueue, kindAPIKey, kindSigning, kindOperation}
}

// Match is the condition under which a change is made. The zero Match is
// always met.
type Match struct {
	// Version, where it is not 0, is the one that must stand.
	Version uint64
	// Exists wants any version to stand, Absent wants none.
	Exists, Absent bool
}

// met reports whether the condition is met by the version that stands, 0 where
// none does.
func (m Match) met(version uint64) bool {
	switch {
	case m.Absent:
		return version == 0
	case m.Version != 0:
		return version == m.Version
	case m.Exists:
		return version != 0
	}
	return true
}

// document is a stored configuration of one thing.
type document[T any] struct {
	store.Document
	Value T
}

// get returns a document, whose Version is 0 where there is none.
func get[T any](ctx context.Context, c *Control, kind, name string) (document[T], error) {
	var d document[T]
	doc, err := c.store.GetDocument(ctx, kind, name)
	if errors.Is(err, store.ErrNotFound) {
		return d, nil
	}
	if err != nil {
		return d, storeError("read the "+kind, err)
	}
	return decode[T](doc)
}

func decode[T any](doc store.Document) (document[T], error) {
	d := document[T]{Document: doc}
	if err := json.Unmarshal(doc.Data, &d.Value); err != nil {
		return d, fmt.Errorf("document %s %s cannot be read: %w", doc.Kind, doc.Name, err)
	}
	return d, nil
}

// change replaces a document with what edit makes of it, if the condition is
// met, and makes the result live. edit is told the document that stands, whose
// Version is 0 where there is none; where it fails, nothing is changed. Changes
// come one after the other; the version that is named to the store guards
// against those of another node.
func change[T any](ctx context.Context, c *Control, kind, name string, m Match, edit func(d *document[T]) error) (d document[T], created bool, err error) {
	if d, created, err = replace(ctx, c, kind, name, m, edit); err != nil {
		return d, false, err
	}
	return d, created, c.tell(ctx, kind)
}

func replace[T any](ctx context.Context, c *Control, kind, name string, m Match, edit func(d *document[T]) error) (d document[T], created bool, err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if d, err = get[T](ctx, c, kind, name); err != nil {
		return d, false, err
	}
	if !m.met(d.Version) {
		return d, false, stale()
	}
	if err = edit(&d); err != nil {
		return d, false, err
	}
	data, err := json.Marshal(d.Value)
	if err != nil {
		return d, false, fmt.Errorf("encode %s %s: %w", kind, name, err)
	}
	d.Document, created, err = c.putDocument(ctx, kind, name, data, standing(d.Version))
	if err != nil {
		return d, false, c.unsure(kind, err)
	}
	return d, created, c.adopt(kind, d.Document)
}

// remove deletes a document, if it is there and the condition is met.
func remove[T any](ctx context.Context, c *Control, kind, name string, m Match, check func(d *document[T]) error) error {
	if err := end(ctx, c, kind, name, m, check); err != nil {
		return err
	}
	return c.tell(ctx, kind)
}

func end[T any](ctx context.Context, c *Control, kind, name string, m Match, check func(d *document[T]) error) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	d, err := get[T](ctx, c, kind, name)
	switch {
	case err != nil:
		return err
	case d.Version == 0:
		return notFound(kind, name)
	case !m.met(d.Version):
		return stale()
	}
	if err := check(&d); err != nil {
		return err
	}
	if err := c.deleteDocument(ctx, kind, name, standing(d.Version)); err != nil {
		return c.unsure(kind, err)
	}
	c.drop(kind, name)
	return nil
}

// unsure is for a change whose outcome is not known, or that was overtaken by
// another node: what is live is read anew, in the background.
func (c *Control) unsure(kind string, err error) error {
	c.keeper.wake()
	if errors.Is(err, store.ErrVersion) {
		return stale()
	}
	return storeError("store the "+kind, err)
}

// all returns every document of a kind.
func all[T any](ctx context.Context, c *Control, kind string) ([]document[T], error) {
	var out []document[T]
	for after := ""; ; {
		docs, err := c.store.ListDocuments(ctx, kind, after, MaxPage)
		if err != nil {
			return nil, storeError("list documents of kind "+kind, err)
		}
		for _, doc := range docs {
			d, err := decode[T](doc)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
		if len(docs) < MaxPage {
			return out, nil
		}
		after = docs[len(docs)-1].Name
	}
}

// standing is the store's condition that a version stands, or none for 0.
func standing(version uint64) store.Expect {
	if version == 0 {
		return store.ExpectAbsent
	}
	return store.ExpectVersion(version)
}
