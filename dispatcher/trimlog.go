package dispatcher

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// trim adds what was trimmed to the node's totals.
func (t *totals) trim(tr trimmed) {
	if tr.Why == store.TrimBytes {
		t.trimmedByBytes[tr.Status&7].Add(tr.Jobs)
	} else {
		t.trimmedByAge[tr.Status&7].Add(tr.Jobs)
	}
}

// trimLog gathers how many dead jobs retention has removed from which queues, and
// says so once a minute: nobody may find them missing without a word.
type trimLog struct {
	since time.Time
	dead  map[string]int64
}

// The bounds of what is said at once.
const (
	trimLogEvery  = time.Minute
	trimLogQueues = 10
)

func (l *trimLog) add(t trimmed, now time.Time) {
	if t.Status != job.Dead {
		return
	}
	if len(l.dead) == 0 {
		l.since, l.dead = now, make(map[string]int64)
	}
	l.dead[t.Queue] += t.Jobs
}

// tell writes one line where a minute is over since the first of the jobs was
// removed, or where the shard is given up.
func (l *trimLog) tell(log *slog.Logger, shard int, now time.Time, last bool) {
	if len(l.dead) == 0 || !last && now.Sub(l.since) < trimLogEvery {
		return
	}
	queues := slices.SortedFunc(maps.Keys(l.dead), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.dead[b], l.dead[a]), cmp.Compare(a, b))
	})
	var sum int64
	for _, n := range l.dead {
		sum += n
	}
	var parts []string
	for _, q := range queues[:min(len(queues), trimLogQueues)] {
		parts = append(parts, fmt.Sprintf("%s: %d", q, l.dead[q]))
	}
	if more := len(queues) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	log.Warn("retention has removed dead jobs", "shard", shard, "jobs", sum, "queues", strings.Join(parts, ", "))
	l.dead = nil
}
