package dispatcher

import "time"

// rate counts events over the last minute in slots of five seconds.
type rate struct {
	counts [13]int64
	slot   int64 // the number of the current slot since the Unix epoch
	first  int64 // that of the first event
}

const rateSlot = 5

func (r *rate) add(now time.Time, n int64) {
	slot := now.Unix() / rateSlot
	if r.first == 0 {
		r.first, r.slot = slot, slot
	}
	for ; r.slot < slot; r.slot++ {
		if slot-r.slot > int64(len(r.counts)) {
			r.slot = slot - int64(len(r.counts))
		}
		r.counts[(r.slot+1)%int64(len(r.counts))] = 0
	}
	r.counts[r.slot%int64(len(r.counts))] += n
}

// perSecond returns the rate over the full slots of the last minute, or over
// the current one where there is no other.
func (r *rate) perSecond(now time.Time) float64 {
	if r.first == 0 {
		return 0
	}
	last := *r // reading must not count as something that happened
	r = &last
	r.add(now, 0)
	slots := min(r.slot-r.first, int64(len(r.counts)-1))
	if slots == 0 {
		return float64(r.counts[r.slot%int64(len(r.counts))]) / float64(now.Unix()%rateSlot+1)
	}
	var sum int64
	for i := int64(1); i <= slots; i++ {
		sum += r.counts[(r.slot-i)%int64(len(r.counts))]
	}
	return float64(sum) / float64(slots*rateSlot)
}

// quiet reports whether nothing happened for a minute.
func (r *rate) quiet(now time.Time) bool {
	return r.first == 0 || now.Unix()/rateSlot-r.slot > int64(len(r.counts))
}
