package redis

import (
	"bytes"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestMessageComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w writer
		list := rapid.SliceOfN(rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 40),
			rapid.Custom(func(t *rapid.T) []byte {
				return make([]byte, rapid.SampledFrom([]int{31, 32, 255, 256, 65535, 65536}).Draw(t, "length"))
			}),
		), 0, 20).Draw(t, "list")
		w.array(len(list))
		for _, b := range list {
			w.bytes(b)
		}
		number := rapid.Int64Range(-1<<53, 1<<53).Draw(t, "number")
		w.integer(number)
		w.nothing()
		r := reader{data: w.buf}
		if n := r.array(); n != len(list) {
			t.Fatalf("%d elements, want %d", n, len(list))
		}
		for _, b := range list {
			if got := r.bytes(); !bytes.Equal(got, b) || got == nil {
				t.Fatalf("%x, want %x", got, b)
			}
		}
		if got := r.integer(); got != number {
			t.Fatalf("%d, want %d", got, number)
		}
		if r.bytes() != nil || r.failed || len(r.data) > 0 {
			t.Fatalf("%+v is left", r)
		}
	})
}

// cmsgpack takes the shortest form of each number.
func TestIntegersOfScripts(t *testing.T) {
	t.Parallel()
	for want, encoded := range map[int64]string{
		0: "\x00", 127: "\x7f", -1: "\xff", -32: "\xe0", 128: "\xcc\x80", 255: "\xcc\xff", 256: "\xcd\x01\x00", 1 << 16: "\xce\x00\x01\x00\x00",
		1 << 32: "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", -128: "\xd0\x80", -32768: "\xd1\x80\x00", -1 << 31: "\xd2\x80\x00\x00\x00", math.MinInt64: "\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
	} {
		r := reader{data: []byte(encoded)}
		if got := r.integer(); got != want || r.failed {
			t.Errorf("%x is %d, want %d", encoded, got, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x93\x00\xdb\xff\xff\xff\xff"))
	f.Add([]byte("\xdd\xff\xff\xff\xff\xa1k\xc2\xd9\x02kk\xd3\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := reader{data: data}
		for len(r.data) > 0 {
			before := len(r.data)
			if n := r.array(); n > before {
				t.Fatalf("%d elements in %d bytes", n, before)
			}
			r.bytes()
			r.integer()
			r.decimal()
		}
	})
}

func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clock
		if _, ok := c.now(); ok {
			t.Fatal("a time before the server told one")
		}
		want := func(ms int64) {
			t.Helper()
			if got, ok := c.now(); !ok || got != ms || c.latest() != ms {
				t.Fatalf("%d, %v, latest %d; want %d", got, ok, c.latest(), ms)
			}
		}
		c.told(1000)
		want(1000)
		time.Sleep(100 * time.Millisecond)
		want(1100)
		c.told(1090) // this answer was slower
		want(1100)
		c.told(1150) // this one quicker
		want(1150)
		time.Sleep(trust + time.Millisecond)
		if _, ok := c.now(); ok {
			t.Fatal("the server was not heard of for too long")
		}
		c.told(500) // the server's clock was put back: time stands still
		want(1150)
		time.Sleep(100 * time.Millisecond)
		want(1150)
		time.Sleep(600 * time.Millisecond)
		c.told(1200)
		want(1200)
		c.raise(5000)
		want(5000)
	})
}

func TestFixedClock(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1000)
	c := clock{fixed: func() time.Time { return at }}
	for _, step := range []struct{ to, want int64 }{{1000, 1000}, {2000, 2000}, {1500, 2000}} {
		at = time.UnixMilli(step.to)
		if got, ok := c.now(); !ok || got != step.want || c.latest() != step.want {
			t.Errorf("%d, %v at %d, want %d", got, ok, step.to, step.want)
		}
	}
}
