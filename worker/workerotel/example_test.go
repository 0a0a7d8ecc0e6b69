package workerotel_test

import (
	"context"

	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/worker"
	"github.com/orchestrix/orchestrix/worker/workerotel"
)

func Example() {
	telemetry, err := workerotel.Middleware()
	if err != nil {
		panic(err)
	}
	mux := worker.NewMux(worker.WithSecrets(webhook.NewSecret()), worker.WithMiddleware(telemetry))
	worker.Handle(mux, "email.send", func(context.Context, worker.Job[string]) error { return nil })
}
