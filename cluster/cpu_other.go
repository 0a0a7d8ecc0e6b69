//go:build !unix

package cluster

import "time"

// cpuTime is 0: the system is not asked for it here.
func cpuTime() time.Duration { return 0 }
