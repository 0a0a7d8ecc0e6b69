//go:build unix

package seenpg_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/seenpg"
	"github.com/orchestrix/orchestrix/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSeenInPostgreSQL(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a server of its own is not for the short form")
	}
	s := startServer(t)
	ready := func(t *testing.T) *sql.DB {
		t.Helper()
		db := s.database(t)
		for range 2 { // it may be there already
			if _, err := db.ExecContext(t.Context(), seenpg.Schema); err != nil {
				t.Fatal(err)
			}
		}
		return db
	}
	t.Run("the contract", func(t *testing.T) {
		workertest.TestSeen(t, func(t *testing.T) worker.Seen { return seenpg.New(ready(t)) })
	})
	for name, test := range map[string]func(t *testing.T, db *sql.DB){
		"together or not at all": together, "one waits for the other": waits, "concurrently": concurrently, "purge": purge, "what is over": over, "no table": noTable, "after a claim": claimed,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, ready(t))
		})
	}
}

func mark(t *testing.T, db seenpg.DB, id string) bool {
	t.Helper()
	fresh, err := seenpg.Mark(t.Context(), db, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func together(t *testing.T, db *sql.DB) {
	tx := begin(t, db)
	if !mark(t, tx, "job_1") || mark(t, tx, "job_1") {
		t.Error("within a transaction it is not new once")
	}
	tx.Rollback()
	tx = begin(t, db)
	if !mark(t, tx, "job_1") {
		t.Error("what was rolled back is there")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if mark(t, db, "job_1") {
		t.Error("what was committed is not there")
	}
}

func waits(t *testing.T, db *sql.DB) {
	first := begin(t, db)
	mark(t, first, "job_1")
	got := make(chan bool, 1)
	go func() {
		fresh, err := seenpg.Mark(context.WithoutCancel(t.Context()), db, "job_1", 0)
		got <- fresh || err != nil
	}()
	// It waits in the server for the first one's end.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for waiting, end := 0, time.Now().Add(30*time.Second); waiting == 0; <-tick.C {
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("it does not wait")
		}
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if <-got {
		t.Error("the job is new to both")
	}
}

// Work in the same transaction is done once, however often the job comes.
func concurrently(t *testing.T, db *sql.DB) {
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE work (job text)"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			tx := begin(t, db)
			defer tx.Rollback()
			if mark(t, tx, "job_1") {
				if _, err := tx.ExecContext(context.WithoutCancel(t.Context()), "INSERT INTO work VALUES ('job_1')"); err != nil {
					t.Error(err)
				}
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM work").Scan(&n); err != nil || n != 1 {
		t.Errorf("done %d times, %v", n, err)
	}
}

func purge(t *testing.T, db *sql.DB) {
	for i, age := range []string{"1 hour", "-1 hour", "-1 second"} {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO orchestrix_seen VALUES ($1, '', true, now() + $2::interval)", string(rune('a'+i)), age); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int64{2, 0} {
		if n, err := seenpg.Purge(t.Context(), db); err != nil || n != want {
			t.Errorf("purged %d, %v", n, err)
		}
	}
}

func over(t *testing.T, db *sql.DB) {
	if _, err := db.ExecContext(t.Context(), "INSERT INTO orchestrix_seen VALUES ('job_1', '', true, now() - interval '1 second')"); err != nil {
		t.Fatal(err)
	}
	if !mark(t, db, "job_1") || mark(t, db, "job_1") {
		t.Error("what was over is not new once")
	}
	var days float64
	if err := db.QueryRowContext(t.Context(), "SELECT extract(epoch FROM expires_at - now()) / 86400 FROM orchestrix_seen").Scan(&days); err != nil || days < 6.9 || days > 7 {
		t.Errorf("it is kept for %v days, %v", days, err)
	}
}

// A claim of worker.Once is not in the way of the transaction that does the work.
func claimed(t *testing.T, db *sql.DB) {
	store := seenpg.New(db)
	if _, err := store.Begin(t.Context(), "job_1", "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	if !mark(t, db, "job_1") {
		t.Error("a claim counts as done")
	}
	if state, err := store.Begin(t.Context(), "job_1", "a", time.Hour); err != nil || state != worker.SeenDone {
		t.Errorf("then it is %d, %v", state, err)
	}
}

func noTable(t *testing.T, db *sql.DB) {
	if _, err := db.ExecContext(t.Context(), "DROP TABLE orchestrix_seen"); err != nil {
		t.Fatal(err)
	}
	store := seenpg.New(db)
	_, beginErr := store.Begin(t.Context(), "job_1", "a", time.Hour)
	_, markErr := seenpg.Mark(t.Context(), db, "job_1", 0)
	_, purgeErr := seenpg.Purge(t.Context(), db)
	for name, err := range map[string]error{
		"begin": beginErr, "mark": markErr, "purge": purgeErr,
		"done": store.Done(t.Context(), "job_1", 0), "release": store.Release(t.Context(), "job_1", "a"),
	} {
		if err == nil || errors.Is(err, sql.ErrNoRows) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
