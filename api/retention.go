package api

import (
	"fmt"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

var retentionObject = object[control.Retention]{
	name: "Retention",
	description: "How long ended jobs are kept, by status, and what they may take together. A status that is absent follows the server: " +
		fmt.Sprintf("%s for dead jobs and %s for the others, unless it was started otherwise.", job.Duration(control.DefaultDeadRetention), job.Duration(control.DefaultRetention)),
	defaults: func() control.Retention { return control.Retention{} },
	fields: []field[control.Retention]{
		retentionAge("succeeded", func(r *control.Retention) *job.Duration { return &r.Succeeded }),
		retentionAge("dead", func(r *control.Retention) *job.Duration { return &r.Dead }),
		retentionAge("cancelled", func(r *control.Retention) *job.Duration { return &r.Cancelled }),
		retentionAge("expired", func(r *control.Retention) *job.Duration { return &r.Expired }),
		integer("max_bytes", func(r *control.Retention) *int { return &r.MaxBytes }, fmt.Sprintf("must be from 1 to %d", control.MaxMaxBytes),
			bounded("How many bytes ended jobs may take together: payloads, answers, records. The oldest go first, succeeded ones before cancelled, expired and, last, dead ones.", 1, control.MaxMaxBytes)),
	},
}

func retentionAge(name string, at func(*control.Retention) *job.Duration) field[control.Retention] {
	return duration(name, at, control.RetentionMessage, doc(fmt.Sprintf("How long a job is kept that is %s, %s to %s.", name, control.MinRetention, control.MaxRetention)))
}

// Retention is how long the ended jobs of a queue are kept, as it is shown.
type Retention struct {
	Succeeded job.Duration `json:"succeeded,omitempty"`
	Dead      job.Duration `json:"dead,omitempty"`
	Cancelled job.Duration `json:"cancelled,omitempty"`
	Expired   job.Duration `json:"expired,omitempty"`
	MaxBytes  int          `json:"max_bytes,omitempty"`
}

// Trimmed counts jobs that retention has removed.
type Trimmed struct {
	Dead int64 `json:"dead" doc:"Dead jobs, ever. Others are counted in the server's metrics."`
}
