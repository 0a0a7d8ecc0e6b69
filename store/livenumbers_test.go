package store

import (
	"testing"

	"github.com/orchestrix/orchestrix/store/engine"
)

func TestLiveNumbers(t *testing.T) {
	t.Parallel()
	overEngines(t, 2, func(t *testing.T, f *fixture) {
		f.own(1)
		told := func(want string) {
			t.Helper()
			got, err := f.Live(ctx(), 1)
			f.check(err)
			f.equal("told", string(got), want)
		}
		told("")
		for _, data := range []string{"one", "two", ""} {
			f.check(f.owner.PublishLive(ctx(), []byte(data)))
			told(data)
		}
		f.check(f.owner.PublishLive(ctx(), []byte("three")))
		got, err := f.Live(ctx(), 0)
		f.check(err)
		f.equal("of the other shard", got, []byte(nil))
		f.one("q1", nil)
		f.audit(1)
		for range 2 {
			f.check(f.owner.PublishLive(ctx(), nil))
			told("")
		}
		// What another version of the program has written is not known here.
		_, err = f.engine.Apply(ctx(), 1, &engine.Batch{Groups: []engine.Group{{Puts: []engine.Entry{{Key: liveKey, Value: []byte{liveFormat + 1, 'x'}}}}}})
		f.check(err)
		told("")
		if _, err := f.Live(ctx(), 2); err == nil {
			t.Error("a shard that is not there has told something")
		}
	})
}
