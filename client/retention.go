package client

import "github.com/orchestrix/orchestrix/job"

// Retention is how long the ended jobs of a queue are kept, by their status; 0
// means the server's.
type Retention struct {
	Succeeded job.Duration `json:"succeeded,omitempty"`
	Dead      job.Duration `json:"dead,omitempty"`
	Cancelled job.Duration `json:"cancelled,omitempty"`
	Expired   job.Duration `json:"expired,omitempty"`
	// MaxBytes bounds what they take together: payloads, answers, records. The
	// oldest go first, succeeded ones before cancelled, expired and, last, dead
	// ones. 0 bounds nothing.
	MaxBytes int `json:"max_bytes,omitempty"`
}

// Trimmed counts jobs that retention has removed.
type Trimmed struct {
	// Dead are the dead ones, ever.
	Dead int64 `json:"dead"`
}
