package dispatcher

import (
	"context"
	"time"
)

// deliverLimit is how many entries of the outbox are taken to one shard at once.
const deliverLimit = 1000

// deliverAll takes what commits send to other shards there, until ctx ends. It
// runs beside the loop, so that a shard that cannot be reached holds up nobody but
// those who have sent to it; it is tried again for ever. What is left when ctx ends
// is for the next owner.
func (l *loop) deliverAll(ctx context.Context) {
	for {
		select {
		case <-l.outbox:
		case <-ctx.Done():
			return
		}
		first := pauses{50 * time.Millisecond, 2 * time.Second}
		for p, more := first, true; more; {
			var err error
			if _, more, err = l.owner.Deliver(ctx, deliverLimit); err == nil {
				p = first
				continue
			}
			if ctx.Err() != nil {
				return
			}
			l.d.away.tell(ctx, l.d.log, "what was sent to other shards is delivered later", l.shard, err)
			select {
			case <-time.After(p.pause()):
			case <-ctx.Done():
				return
			}
		}
	}
}
