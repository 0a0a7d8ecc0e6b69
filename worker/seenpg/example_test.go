package seenpg_test

import (
	"context"
	"database/sql"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/seenpg"
)

// Payment is a payload.
type Payment struct {
	Account string `json:"account"`
	Cents   int    `json:"cents"`
}

// The note and the work are one transaction: the account is charged exactly once.
func Example() {
	var db *sql.DB // opened by the program, with the table of seenpg.Schema
	mux := worker.NewMux(worker.WithSecrets(webhook.NewSecret()))
	worker.Handle(mux, "account.charge", func(ctx context.Context, job worker.Job[Payment]) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		fresh, err := seenpg.Mark(ctx, tx, job.WebhookID, 0)
		if err != nil || !fresh {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET cents = cents - $1 WHERE id = $2", job.Payload.Cents, job.Payload.Account); err != nil {
			return err
		}
		return tx.Commit()
	})
}
