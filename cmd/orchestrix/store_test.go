package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

func TestAcceptLoss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	url := server.URL("")
	say := func(want string, args ...string) result {
		t.Helper()
		r := command(t, "", append([]string{"store", "accept-loss", "--store", url}, args...)...)
		if !strings.Contains(r.out+r.err, want) {
			t.Errorf("%v: code %d, %s%s; want %q", args, r.code, r.out, r.err, want)
		}
		return r
	}
	if r := say("there is no store"); r.code != exitFailed {
		t.Errorf("of no store: code %d", r.code)
	}
	config := app.Defaults()
	config.Store, config.Listen, config.Shards = url, "127.0.0.1:0", 4
	a, err := app.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	say("No shard is missing.")

	server.Do(t, "DEL", "{orchestrix:1}:head", "{orchestrix:3}:head")
	server.Do(t, "HSET", "{orchestrix:3}:data", "k", "v") // and no index
	want := []lostShard{{Shard: 1, Then: "empty"}, {Shard: 3, Then: "removed"}}
	for _, done := range []bool{false, false, true} {
		args := []string{"-o", "json"}
		if done {
			args = append(args, "--yes")
		}
		var got []lostShard
		if r := say("", args...); r.code != exitOK || json.Unmarshal([]byte(r.out), &got) != nil {
			t.Fatalf("%v: code %d, %s%s", args, r.code, r.out, r.err)
		}
		want[0].Done, want[1].Done = done, done
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	say("No shard is missing.", "--yes")
	server.Do(t, "DEL", "{orchestrix:2}:head")
	say("Nothing was changed")
	say("have a new record: 1", "--yes")

	if r := command(t, "", "store", "accept-loss", "--store", "embedded:./data"); r.code != exitFailed || !strings.Contains(r.err, "restore a backup") {
		t.Errorf("of a directory: code %d, %s", r.code, r.err)
	}
}
