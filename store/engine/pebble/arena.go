package pebble

// maxChunk is the most that one handed-out slice keeps alive beside itself.
const maxChunk = 64 << 10

// arena copies byte slices into few allocations. Its zero value is empty.
type arena struct{ chunk []byte }

// copy returns a copy of b, never nil. Appending to it does not reach its
// neighbours.
func (a *arena) copy(b []byte) []byte {
	if a.chunk == nil || cap(a.chunk)-len(a.chunk) < len(b) {
		if len(b) > maxChunk/4 {
			return append(make([]byte, 0, len(b)), b...)
		}
		a.chunk = make([]byte, 0, max(min(2*cap(a.chunk), maxChunk), 512, len(b)))
	}
	start := len(a.chunk)
	a.chunk = append(a.chunk, b...)
	return a.chunk[start:len(a.chunk):len(a.chunk)]
}
