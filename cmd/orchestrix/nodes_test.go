package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

func TestNodeTable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got := nodeTable([]client.Node{{
		ID: "a-1", Address: "http://a", Version: "1.2", Roles: []string{"api", "dispatch"}, State: "alive", Leader: true, Term: 9, Shards: []int{3, 4}, InFlight: 7,
		CPU: 0.257, MemoryBytes: 64 << 20, HeartbeatAge: job.Duration(2 * time.Second), StartedAt: now.Add(-time.Hour),
	}}, now)
	want := [][]string{{"a-1", "alive", "term 9", "http://a", "1.2", "api,dispatch", "2", "7", "0.26", "64 MiB", "2s ago", "1h ago"}}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
