package front

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkRequest is a round trip over loopback to a handler that reads a body
// of 1 KiB, by this package and by net/http alone. The client is as lean as can
// be, and the same in both.
func BenchmarkRequest(b *testing.B) {
	accept := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"application/json"}
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"id":"job_01kwersrg009d020g30g2gc1r8","status":"pending"}`)
	}
	text := post(strings.Repeat("x", 1<<10), "User-Agent: Go-http-client/1.1", "Content-Type: application/json", "Accept-Encoding: gzip")
	for name, alone := range map[string]bool{"front": false, "net-http": true} {
		b.Run(name, func(b *testing.B) {
			l := listen(b)
			newStand(b, l, accept, alone)
			p := dial(b, l.Addr())
			answer := make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				p.send(text)
				if _, err := p.Read(answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
