package pebble

import (
	"github.com/cockroachdb/pebble/v2"
	dto "github.com/prometheus/client_model/go"
)

// Stats are figures of a store for metrics. All but the sizes count from Open.
type Stats struct {
	// DiskBytes is the size of all files, LogBytes that of what is in the
	// write-ahead log.
	DiskBytes, LogBytes int64
	// MemoryBytes is what memtables and the block cache hold.
	MemoryBytes int64
	// WrittenBytes is what was written to the log, before padding.
	WrittenBytes int64
	// DebtBytes estimates what compactions have yet to rewrite.
	DebtBytes int64
	// ReadAmplification is how many sorted runs a read may have to look into.
	ReadAmplification int
	// Fsyncs and FsyncSeconds are the number and total duration of log fsyncs;
	// FsyncBuckets counts them by duration: upper bound in seconds to how many
	// took at most as long. Nil in memory.
	Fsyncs       uint64
	FsyncSeconds float64
	FsyncBuckets map[float64]uint64
}

// Stats returns the store's figures; all zero once it is closed. It costs some
// ten microseconds.
func (e *Engine) Stats() Stats {
	e.life.RLock()
	defer e.life.RUnlock()
	if e.closed {
		return Stats{}
	}
	m := e.db.Metrics()
	s := Stats{
		DiskBytes:         diskBytes(m),
		LogBytes:          int64(m.WAL.Size),
		MemoryBytes:       int64(m.MemTable.Size) + m.BlockCache.Size,
		WrittenBytes:      int64(m.WAL.BytesIn),
		DebtBytes:         int64(m.Compact.EstimatedDebt),
		ReadAmplification: m.ReadAmp(),
	}
	var h dto.Metric
	if f := m.LogWriter.FsyncLatency; f != nil && !e.memory && f.Write(&h) == nil {
		s.addFsyncs(h.GetHistogram())
	}
	return s
}

// diskBytes counts the log that is being written by what is in it: the database
// tells the size of the file only once that is finished.
func diskBytes(m *pebble.Metrics) int64 {
	return int64(m.DiskSpaceUsage() - m.WAL.PhysicalSize + max(m.WAL.PhysicalSize, m.WAL.Size))
}

// addFsyncs takes over a histogram in nanoseconds.
func (s *Stats) addFsyncs(h *dto.Histogram) {
	s.Fsyncs = h.GetSampleCount()
	s.FsyncSeconds = h.GetSampleSum() / 1e9
	s.FsyncBuckets = make(map[float64]uint64, len(h.GetBucket()))
	for _, b := range h.GetBucket() {
		s.FsyncBuckets[b.GetUpperBound()/1e9] = b.GetCumulativeCount()
	}
}
