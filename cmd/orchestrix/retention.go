package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/orchestrix/orchestrix/client"
)

// retentionFlags are how long the ended jobs of a queue are kept.
type retentionFlags struct {
	succeeded, dead, cancelled, expired string
	bytes                               int
}

func (r *retentionFlags) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&r.succeeded, "retention-succeeded", "", "how `long` succeeded jobs are kept; empty means the server's")
	flags.StringVar(&r.dead, "retention-dead", "", "how `long` dead jobs are kept")
	flags.StringVar(&r.cancelled, "retention-cancelled", "", "how `long` cancelled jobs are kept")
	flags.StringVar(&r.expired, "retention-expired", "", "how `long` expired jobs are kept")
	flags.IntVar(&r.bytes, "retention-bytes", 0, "`bytes` that ended jobs may take, the dead go last; 0 means any number")
}

func (r *retentionFlags) read(into *client.QueueConfig) error {
	keep := client.Retention{MaxBytes: r.bytes}
	if err := readDurations([]durationFlag{
		{"retention-succeeded", r.succeeded, &keep.Succeeded},
		{"retention-dead", r.dead, &keep.Dead},
		{"retention-cancelled", r.cancelled, &keep.Cancelled},
		{"retention-expired", r.expired, &keep.Expired},
	}); err != nil {
		return usageError{err}
	}
	if keep != (client.Retention{}) {
		into.Retention = &keep
	}
	return nil
}

// keptText is what the ended jobs of a queue take, and for how long they are
// kept, for people.
func keptText(q *client.Queue) string {
	text := fmt.Sprintf("%d bytes", q.KeptBytes)
	if r := q.Retention; r != nil {
		text += fmt.Sprintf("; succeeded %s, dead %s, cancelled %s, expired %s", r.Succeeded, r.Dead, r.Cancelled, r.Expired)
		if r.MaxBytes > 0 {
			text += fmt.Sprintf(", at most %d bytes", r.MaxBytes)
		}
	}
	if q.Trimmed.Dead > 0 {
		text += fmt.Sprintf("; %d dead ones removed", q.Trimmed.Dead)
	}
	return text
}
