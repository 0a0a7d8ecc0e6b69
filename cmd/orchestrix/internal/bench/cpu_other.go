//go:build !linux

package bench

import (
	"errors"
	"time"
)

// processCPU is only known where there is /proc; without it the benchmark
// prints rates alone.
func processCPU(int) (time.Duration, error) { return 0, errors.ErrUnsupported }
