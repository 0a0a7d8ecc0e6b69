package control

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/orchestrix/orchestrix/dispatcher"
)

// slow is a dispatcher that has a configuration only when the test takes it.
type slow struct {
	*idle
	given chan dispatcher.Config
}

func (d *slow) Configure(c dispatcher.Config) { d.given <- c }

func TestChangesAtOnceAreHandedOverTogether(t *testing.T) {
	t.Parallel()
	const changes = 20
	c, _, quick := newLoaded(t)
	d := &slow{quick, make(chan dispatcher.Config)}
	c.dispatch = d
	ctx := root(t)
	var all sync.WaitGroup
	put := func(name string) {
		all.Go(func() {
			if _, _, err := c.PutQueue(ctx, name, Match{}, QueueSpec{}); err != nil {
				t.Errorf("put %s: %v", name, err)
			}
		})
	}
	queues := func() int {
		c.mu.RLock()
		defer c.mu.RUnlock()
		return len(c.live.queues)
	}
	for i := range changes {
		put(fmt.Sprintf("queue-%d", i))
	}
	for queues() < changes { // the first one is being handed over, and the others are stored
		runtime.Gosched()
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	times, last := 0, 0
	for waiting := true; waiting; {
		select {
		case config := <-d.given:
			times, last = times+1, len(config.Queues)
		case <-done:
			waiting = false
		}
	}
	if last != changes {
		t.Errorf("the last configuration has %d queues, want %d", last, changes)
	}
	if times > changes/2 {
		t.Errorf("%d changes were handed over in %d times", changes, times)
	}
}
