package sealed

import (
	"context"
	"errors"
	"fmt"

	"github.com/orchestrix/orchestrix/store"
)

// Store is a store whose documents are sealed on the way in and opened on the
// way out. All else is the store's own. It may be used concurrently.
type Store struct {
	*store.Store
	ring *Keyring
}

// listed is how many documents are read at once.
const listed = 100

// Open returns the store with its documents under the ring's first key, and how
// many of the given kinds had to be brought there. A nil ring leaves documents
// plain. It fails with ErrNoKey or ErrDamaged where one cannot be opened, before
// anything is changed; a failure later leaves each document either as it was or
// under the first key, and the next Open goes on.
func Open(ctx context.Context, s *store.Store, ring *Keyring, kinds ...string) (*Store, int, error) {
	sealed := &Store{s, ring}
	var stale []store.Document
	for _, kind := range kinds {
		found, err := sealed.stale(ctx, kind)
		if err != nil {
			return nil, 0, err
		}
		stale = append(stale, found...)
	}
	for i := range stale {
		if err := sealed.reseal(ctx, &stale[i]); err != nil {
			return nil, i, err
		}
	}
	return sealed, len(stale), nil
}

// stale returns the opened documents that are not under the first key.
func (s *Store) stale(ctx context.Context, kind string) ([]store.Document, error) {
	var out []store.Document
	for after := ""; ; {
		docs, err := s.Store.ListDocuments(ctx, kind, after, listed)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			current, err := s.opened(&d)
			if err != nil {
				return nil, err
			}
			if !current {
				out = append(out, d)
			}
		}
		if len(docs) < listed {
			return out, nil
		}
		after = docs[len(docs)-1].Name
	}
}

// reseal writes a document anew. Where somebody else wrote it meanwhile, that
// has put it under a key already.
func (s *Store) reseal(ctx context.Context, d *store.Document) error {
	_, _, err := s.PutDocument(ctx, d.Kind, d.Name, d.Data, store.ExpectVersion(d.Version))
	if errors.Is(err, store.ErrVersion) {
		return nil
	}
	return err
}

func (s *Store) opened(d *store.Document) (current bool, err error) {
	d.Data, current, err = s.ring.open(d.Kind, d.Name, d.Data)
	if err != nil {
		return false, fmt.Errorf("document %s/%s: %w", d.Kind, d.Name, err)
	}
	return current, nil
}

// GetDocument is store.Store's, opened.
func (s *Store) GetDocument(ctx context.Context, kind, name string) (store.Document, error) {
	d, err := s.Store.GetDocument(ctx, kind, name)
	if err != nil {
		return d, err
	}
	_, err = s.opened(&d)
	return d, err
}

// PutDocument is store.Store's; what is stored is sealed, what is returned not.
func (s *Store) PutDocument(ctx context.Context, kind, name string, data []byte, e store.Expect) (store.Document, bool, error) {
	written := data
	if s.ring != nil {
		written = s.ring.seal(kind, name, data)
	}
	d, created, err := s.Store.PutDocument(ctx, kind, name, written, e)
	if err == nil {
		d.Data = data
	}
	return d, created, err
}

// ListDocuments is store.Store's, opened.
func (s *Store) ListDocuments(ctx context.Context, kind, after string, limit int) ([]store.Document, error) {
	docs, err := s.Store.ListDocuments(ctx, kind, after, limit)
	for i := range docs {
		if _, err := s.opened(&docs[i]); err != nil {
			return nil, err
		}
	}
	return docs, err
}
