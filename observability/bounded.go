package observability

import (
	"maps"
	"sync"
	"sync/atomic"
)

const (
	// maxNames bounds the queues, and the workers, that have metrics of their own: with
	// a hundred of each a scrape has about ten thousand lines.
	maxNames = 100
	// otherName stands for all others.
	otherName = "other"
	// adHocName stands for the destinations that jobs bring themselves.
	adHocName = "ad_hoc"
)

// bounded keeps something for each of the first maxNames names it is asked for, and one
// for all others. Names are the clients' choice: without a bound they could have a server
// remember any number of them. It may be used concurrently; to find a known name takes no
// lock.
type bounded[T any] struct {
	build func(name string) T
	known atomic.Pointer[map[string]T]
	other T
	mu    sync.Mutex // held while a name is added
}

func newBounded[T any](build func(name string) T) *bounded[T] {
	b := &bounded[T]{build: build, other: build(otherName)}
	b.known.Store(&map[string]T{otherName: b.other})
	return b
}

// of returns what is kept for the name.
func (b *bounded[T]) of(name string) T {
	if of, ok := b.find(name); ok {
		return of
	}
	return b.add(name)
}

// find returns what is kept for a name that is known, or for all others where there is
// no room for one more.
func (b *bounded[T]) find(name string) (of T, ok bool) {
	known := *b.known.Load()
	if of, ok = known[name]; ok {
		return of, true
	}
	return b.other, len(known) > maxNames
}

// add makes a name known. The map is copied: it is read without a lock, and changes a
// hundred times at most.
func (b *bounded[T]) add(name string) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	if of, ok := b.find(name); ok {
		return of
	}
	known := maps.Clone(*b.known.Load())
	known[name] = b.build(name)
	b.known.Store(&known)
	return known[name]
}
