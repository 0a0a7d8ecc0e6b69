package dispatcher

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// A shard whose lease is not renewed begins no push, and goes on when it is.
func TestNoPushWithoutALease(t *testing.T) {
	t.Parallel()
	e := model.New(1, nil)
	var away atomic.Bool
	refused := make(chan struct{}, 100)
	e.Fail = func(op string, _ int) error {
		if op == "renew" && away.Load() {
			refused <- struct{}{}
			return store.ErrUnavailable
		}
		return nil
	}
	w := newWorld(t, e, nil, func(o *Options) { o.Shared, o.Lease = true, 300*time.Millisecond })
	w.start()
	w.d.Serve([]int{0})
	w.untilOwns(0)
	w.enqueue("q0", 1)
	w.untilSucceeded(1)
	away.Store(true)
	for range 5 { // they are tried three times within a lease
		<-refused
	}
	w.enqueue("q0", 3)
	w.until("the pushes are claimed", func() bool { return w.d.Totals().Started == 4 })
	for range 2 {
		<-refused
	}
	if n, _ := w.worker.count(); n != 1 {
		t.Errorf("%d jobs were pushed without a lease", n-1)
	}
	away.Store(false)
	w.untilSucceeded(4)
}

// A push that has begun under a lease which runs out before its first byte is not
// made: nothing reaches the worker, and no attempt is used up.
func TestNoFirstByteWithoutALease(t *testing.T) {
	t.Parallel()
	e := model.New(1, nil)
	var away atomic.Bool
	refused := make(chan struct{}, 1000)
	e.Fail = func(op string, _ int) error {
		if op == "renew" && away.Load() {
			refused <- struct{}{}
			return store.ErrUnavailable
		}
		return nil
	}
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer // the push waits for its token before it is connected
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}`)
	}))
	defer tokens.Close()
	w := newWorld(t, e, nil, func(o *Options) {
		o.Shared, o.Lease = true, 300*time.Millisecond
		o.Config.Workers[0].Auth = push.Auth{Type: push.AuthOAuth2, TokenURL: tokens.URL, ClientID: "c", ClientSecret: "s"}
	})
	w.start()
	w.d.Serve([]int{0})
	w.untilOwns(0)
	id := w.enqueue("q0", 1)[0]
	<-asked
	away.Store(true)
	for range 6 { // they are tried three times within a lease
		<-refused
	}
	close(answer)
	w.until("the push was refused", func() bool { return w.d.Totals().Attempts[job.OutcomeLost] == 1 })
	if n, _ := w.worker.count(); n != 0 {
		t.Errorf("%d jobs were pushed without a lease", n)
	}
	away.Store(false)
	w.untilSucceeded(1)
	if j := w.job(id); j.Failures != 0 || len(j.Attempts) != 2 || j.Attempts[0].Outcome != job.OutcomeLost {
		t.Errorf("%+v", j)
	}
}

// What another node has taken meanwhile is not pushed, and that is counted.
func TestFencedShardsAreCounted(t *testing.T) {
	t.Parallel()
	w := nodes(t, 1, 2, nil)
	w[0].d.Serve([]int{0})
	w[0].untilOwns(0)
	if err := w[0].d.loops[0].owner.Release(t.Context()); err != nil { // its lease has run out unnoticed
		t.Fatal(err)
	}
	w[1].d.Serve([]int{0})
	w[0].until("the first node notices", func() bool { return w[0].d.Totals().Fenced == 1 })
	w[1].untilOwns(0)
	if n := w[1].d.Totals().Owned; n != 1 {
		t.Errorf("the second node serves %d shards", n)
	}
}
