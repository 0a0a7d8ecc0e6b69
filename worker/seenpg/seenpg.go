// Package seenpg keeps in PostgreSQL which jobs a worker has done, over
// database/sql and whatever driver the program has.
//
// Mark notes a job in a transaction of the caller: then the note and the work
// are there together or not at all, and a job whose work is rows of the same database
// has its effect exactly once. Where the work is something else, Store is a
// worker.Seen for worker.Once.
//
// It promises that of two transactions that mark the same job one waits for the
// other. It makes no table by itself (see Schema), does not open or close the
// database, and deletes what is over only when Purge is called.
package seenpg

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/worker"
)

// Schema makes the table, where there is none. It belongs into the migrations of
// the program; the table is found by the search path.
const Schema = `
CREATE TABLE IF NOT EXISTS orchestrix_seen (
	id         text        PRIMARY KEY,
	owner      text        NOT NULL,
	done       boolean     NOT NULL,
	expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS orchestrix_seen_expires_at ON orchestrix_seen (expires_at);
`

// DB is what is needed of a *sql.DB, *sql.Tx or *sql.Conn.
type DB interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Mark notes that a job is done, in the caller's transaction: by its WebhookID, for
// keep from now (0 means worker.DefaultKeep). It returns false where the job was
// noted before: then its work is in the database, and must not be done again. Where
// another transaction has marked the job and not ended, it waits for it.
//
// An error leaves the transaction in whatever state the database says: roll it
// back. Under isolation levels above read committed it may be a serialization
// failure, after which the whole transaction may be repeated.
func Mark(ctx context.Context, tx DB, id string, keep time.Duration) (bool, error) {
	if keep <= 0 {
		keep = worker.DefaultKeep
	}
	const query = `
INSERT INTO orchestrix_seen AS s (id, owner, done, expires_at)
VALUES ($1, '', true, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (id) DO UPDATE SET owner = '', done = true, expires_at = excluded.expires_at
WHERE NOT s.done OR s.expires_at <= clock_timestamp()`
	n, err := affected(tx.ExecContext(ctx, query, id, keep.Seconds()))
	if err != nil {
		return false, fmt.Errorf("mark job %s as done: %w", id, err)
	}
	return n == 1, nil
}

// Purge deletes what is over, at most 10,000 rows in one statement, and returns how
// many: call it every hour or so, until it returns less.
func Purge(ctx context.Context, db DB) (int64, error) {
	const query = `
DELETE FROM orchestrix_seen WHERE id IN (
	SELECT id FROM orchestrix_seen WHERE expires_at <= clock_timestamp() LIMIT 10000 FOR UPDATE SKIP LOCKED)`
	n, err := affected(db.ExecContext(ctx, query))
	if err != nil {
		return 0, fmt.Errorf("purge the jobs that were done: %w", err)
	}
	return n, nil
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Store is a worker.Seen in PostgreSQL. It may be used concurrently.
type Store struct{ db *sql.DB }

// New returns a Store on a database that has the table of Schema.
func New(db *sql.DB) *Store { return &Store{db} }

// Begin implements worker.Seen.
func (s *Store) Begin(ctx context.Context, id, owner string, hold time.Duration) (worker.SeenState, error) {
	const claim = `
INSERT INTO orchestrix_seen AS s (id, owner, done, expires_at)
VALUES ($1, $2, false, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, done = false, expires_at = excluded.expires_at
WHERE s.expires_at <= clock_timestamp() OR NOT s.done AND s.owner = excluded.owner`
	n, err := affected(s.db.ExecContext(ctx, claim, id, owner, hold.Seconds()))
	if err != nil {
		return worker.SeenNever, fmt.Errorf("claim job %s: %w", id, err)
	}
	if n == 1 {
		return worker.SeenNever, nil
	}
	// Between the two statements it can only have come to its end: who asks again
	// then gets it.
	var done bool
	err = s.db.QueryRowContext(ctx, `SELECT coalesce(bool_or(done), false) FROM orchestrix_seen WHERE id = $1`, id).Scan(&done)
	switch {
	case err != nil:
		return worker.SeenNever, fmt.Errorf("look for job %s: %w", id, err)
	case done:
		return worker.SeenDone, nil
	}
	return worker.SeenBusy, nil
}

// Done implements worker.Seen.
func (s *Store) Done(ctx context.Context, id string, keep time.Duration) error {
	const query = `
INSERT INTO orchestrix_seen (id, owner, done, expires_at)
VALUES ($1, '', true, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (id) DO UPDATE SET owner = '', done = true, expires_at = excluded.expires_at`
	if _, err := s.db.ExecContext(ctx, query, id, keep.Seconds()); err != nil {
		return fmt.Errorf("note that job %s is done: %w", id, err)
	}
	return nil
}

// Release implements worker.Seen.
func (s *Store) Release(ctx context.Context, id, owner string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM orchestrix_seen WHERE id = $1 AND owner = $2 AND NOT done`, id, owner); err != nil {
		return fmt.Errorf("release job %s: %w", id, err)
	}
	return nil
}
