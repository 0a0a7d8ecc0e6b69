// Command inbox leaves a run-now command in the inbox of a job's shard, as a
// server leaves it that is killed before it has consumed it. It has to be built
// in the source tree of the version whose data is made:
//
//	cp -r app/testdata/golden/inbox <tree>/cmd/inbox && cd <tree> && go build ./cmd/inbox
package main

import (
	"context"
	"log"
	"os"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/pebble"
)

func main() {
	id, err := job.ParseID(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	e, err := pebble.Open(os.Args[1], pebble.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.New(e).Send(context.Background(), store.Command{Kind: store.CommandRunNow, ID: id}); err != nil {
		log.Fatal(err)
	}
	os.Exit(0) // without closing: the directory is left as by a kill
}
