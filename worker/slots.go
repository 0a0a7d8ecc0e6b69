package worker

// slots bounds how many run at once. nil is no bound.
type slots chan struct{}

func newSlots(n int) slots {
	if n <= 0 {
		return nil
	}
	return make(slots, n)
}

// take takes a slot, or reports that all are taken. It never waits: the server
// has a queue, and it is the better place to wait in.
func (s slots) take() bool {
	if s == nil {
		return true
	}
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() {
	if s != nil {
		<-s
	}
}
