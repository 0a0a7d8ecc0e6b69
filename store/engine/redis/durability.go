package redis

import (
	"fmt"
	"strconv"
	"strings"
)

// Durability says what a write waits for. Its zero value is DurableAOF.
type Durability struct {
	memory   bool
	replicas int
}

var (
	// DurableMemory waits for nothing but the server's memory.
	DurableMemory = Durability{memory: true}
	// DurableAOF asks for a server with an append-only file, and waits for what
	// its appendfsync says: for the disk with always; with everysec a crash of the
	// machine may lose about the last second, and so may one of the process while
	// the disk is slow.
	DurableAOF = Durability{}
)

// maxReplicas bounds how many replicas can be waited for: nobody runs more.
const maxReplicas = 16

// DurableReplicas waits until n replicas, 1 to 16, have received the write.
func DurableReplicas(n int) Durability { return Durability{replicas: n} }

// ParseDurability reads "memory", "aof" or "replicas=N".
func ParseDurability(text string) (Durability, error) {
	switch text {
	case "memory":
		return DurableMemory, nil
	case "aof":
		return DurableAOF, nil
	}
	if count, ok := strings.CutPrefix(text, "replicas="); ok {
		if n, err := strconv.Atoi(count); err == nil && n >= 1 && n <= maxReplicas {
			return DurableReplicas(n), nil
		}
	}
	return Durability{}, fmt.Errorf(`durability %q must be "memory", "aof" or "replicas=N" with N from 1 to %d`, text, maxReplicas)
}

// String is the text that ParseDurability reads.
func (d Durability) String() string {
	switch {
	case d.memory:
		return "memory"
	case d.replicas > 0:
		return "replicas=" + strconv.Itoa(d.replicas)
	}
	return "aof"
}
