package control

import (
	"cmp"
	"maps"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
)

// Retention is how long the ended jobs of a queue are kept, each from
// MinRetention to MaxRetention; 0 means the server's. Looking for what is over
// is not worth a moment: a job may stay a minute longer.
type Retention struct {
	Succeeded job.Duration `json:"succeeded,omitempty"`
	Dead      job.Duration `json:"dead,omitempty"`
	Cancelled job.Duration `json:"cancelled,omitempty"`
	Expired   job.Duration `json:"expired,omitempty"`
	// MaxBytes bounds what they take together (payloads, answers, records), at
	// most MaxMaxBytes; 0 bounds nothing. What is over goes oldest first: the
	// succeeded jobs, then the cancelled, the expired and, last, the dead.
	MaxBytes int `json:"max_bytes,omitempty"`
}

// The defaults and bounds of a retention. Dead jobs are kept longest: somebody
// has to look at them.
const (
	DefaultRetention     = 7 * 24 * time.Hour
	DefaultDeadRetention = 30 * 24 * time.Hour
	MinRetention         = job.Duration(time.Second)
	MaxRetention         = job.Duration(3650 * 24 * time.Hour)
)

// RetentionMessage says how long a retention may be.
var RetentionMessage = "must be from " + MinRetention.String() + " to " + MaxRetention.String()

// ages returns where the ages stand, by status.
func (r *Retention) ages() map[job.Status]*job.Duration {
	return map[job.Status]*job.Duration{
		job.Succeeded: &r.Succeeded, job.Dead: &r.Dead, job.Cancelled: &r.Cancelled, job.Expired: &r.Expired,
	}
}

func (r *Retention) faults() (f faults) {
	ages := r.ages()
	for _, s := range job.Statuses() {
		if age := ages[s]; age != nil && *age != 0 && (*age < MinRetention || *age > MaxRetention) {
			f.add("retention."+s.String(), RetentionMessage)
		}
	}
	f.add("retention.max_bytes", checkMaxBytes(r.MaxBytes))
	return f
}

// over returns the retention with what it leaves unset taken from the server's.
func (r Retention) over(server map[job.Status]time.Duration) Retention {
	for s, age := range r.ages() {
		*age = cmp.Or(*age, job.Duration(server[s]))
	}
	return r
}

// rule returns what a queue with this retention follows, nil where that is the
// server's.
func (r Retention) rule(server map[job.Status]time.Duration) *store.Retention {
	if r == (Retention{}) {
		return nil
	}
	rule := &store.Retention{Ages: maps.Clone(server), MaxBytes: int64(r.MaxBytes)}
	if rule.Ages == nil {
		rule.Ages = make(map[job.Status]time.Duration)
	}
	for s, age := range r.ages() {
		if *age != 0 {
			rule.Ages[s] = age.Std()
		}
	}
	return rule
}
