package enginetest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/orchestrix/orchestrix/store/engine"
)

// modelShard is the contract over a plain map: what an engine has to be, with
// nothing stored and nobody else about.
type modelShard struct {
	data     map[string][]byte
	counters map[string]int64
	head     engine.Head
	author   engine.Fence // whose commit head.Commit is
}

func newModelShard() *modelShard {
	return &modelShard{data: map[string][]byte{}, counters: map[string]int64{}}
}

func (m *modelShard) apply(b *engine.Batch) (engine.Result, error) {
	if f := b.Fence; f != nil {
		switch {
		case f.Nonce == engine.Nonce{} || *f != m.head.Fence:
			return engine.Result{}, engine.ErrFenced
		case b.Commit == m.head.Commit && m.author == *f:
			return engine.Result{Repeated: true}, nil
		case b.Commit != m.head.Commit+1:
			return engine.Result{}, engine.ErrHistory
		}
		m.head.Commit, m.author = b.Commit, *f
	}
	results := make([]engine.GroupResult, len(b.Groups))
	for i, g := range b.Groups {
		results[i] = m.guards(g.Guards)
	}
	for i, g := range b.Groups {
		if !results[i].Skipped {
			m.carryOut(g, &results[i])
		}
	}
	return engine.Result{Groups: results}, nil
}

func (m *modelShard) guards(guards []engine.Guard) engine.GroupResult {
	for i, g := range guards {
		found, there := m.data[string(g.Key)]
		if there != (g.Value != nil) || !bytes.Equal(found, g.Value) {
			return engine.GroupResult{Skipped: true, Failed: i, Found: found}
		}
	}
	return engine.GroupResult{}
}

func (m *modelShard) carryOut(g engine.Group, res *engine.GroupResult) {
	for _, key := range g.Deletes {
		delete(m.data, string(key))
	}
	for _, r := range g.Ranges {
		for _, key := range m.between(r.From, r.To) {
			delete(m.data, key)
		}
	}
	for _, en := range g.Puts {
		m.data[string(en.Key)] = en.Value
	}
	if len(g.Stamped) > 0 {
		res.FirstSeq = m.head.Seq + 1
	}
	for _, en := range g.Stamped {
		m.head.Seq++
		m.data[stamped(string(en.Key), m.head.Seq)] = en.Value
	}
	for _, c := range g.Counters {
		m.counters[string(c.Name)] += c.Value
	}
}

// between returns the keys of a range in their order.
func (m *modelShard) between(from, to []byte) []string {
	var keys []string
	for key := range m.data {
		if key >= string(from) && (to == nil || key < string(to)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (m *modelShard) scan(r engine.Range) []engine.Entry {
	keys := m.between(r.From, r.To)
	if r.Reverse {
		slices.Reverse(keys)
	}
	var entries []engine.Entry
	for _, key := range keys[:min(len(keys), r.Limit)] {
		en := engine.Entry{Key: []byte(key)}
		if !r.KeysOnly {
			en.Value = m.data[key]
		}
		entries = append(entries, en)
	}
	return entries
}

func (m *modelShard) scanCounters(prefix, after string, limit int) []engine.Counter {
	var counters []engine.Counter
	for name, value := range m.counters {
		if value != 0 && strings.HasPrefix(name, prefix) && name > after {
			counters = append(counters, engine.Counter{Name: []byte(name), Value: value})
		}
	}
	slices.SortFunc(counters, func(a, b engine.Counter) int { return bytes.Compare(a.Name, b.Name) })
	return counters[:min(len(counters), limit)]
}
