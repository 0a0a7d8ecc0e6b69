package control

import (
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/store"
)

// paced is a dispatcher whose queues are worked off at some pace.
type paced struct {
	*idle
	perSecond float64
	asked     int
}

func (d *paced) QueueLive(string) dispatcher.QueueLive {
	d.asked++
	return dispatcher.QueueLive{Throughput: d.perSecond}
}

func TestWhenThereIsRoomAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		waiting   int64
		perSecond float64
		want      time.Duration
	}{
		{1000, 0, time.Minute},
		{1000, 1e-9, time.Minute},
		{1000, 10, 10 * time.Second},
		{1000, 1e6, time.Second},
		{0, 10, time.Second},
		{1 << 62, 1e-300, time.Minute},
	} {
		c := New(Options{Dispatcher: &paced{idle: newIdle(), perSecond: test.perSecond}})
		got := c.roomAfter("q", &store.Full{Waiting: store.Backlog{Jobs: test.waiting}}, time.Now())
		if got != test.want {
			t.Errorf("%d jobs at %g a second: %s, want %s", test.waiting, test.perSecond, got, test.want)
		}
	}
}

// A flood of refusals asks the shard once a second.
func TestPacesAreRemembered(t *testing.T) {
	t.Parallel()
	d := &paced{idle: newIdle(), perSecond: 1}
	c := New(Options{Dispatcher: d})
	now := time.Now()
	for i := range 100 {
		c.roomAfter("q", &store.Full{}, now.Add(time.Duration(i)*20*time.Millisecond))
	}
	if d.asked != 2 {
		t.Errorf("asked %d times in two seconds", d.asked)
	}
}
