package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orchestrix/orchestrix/client"
)

const workersTestLong = `Push a signed test to a worker and show the exchange: what was sent, what came
back, and what that would have meant for a job. No job is stored. The worker sees
the job type orchestrix.test.

The exit code is 1 where the worker did not answer with a 2xx.`

func (c *cli) workersTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test <name>", Short: "Push a test to a worker and show the exchange", Long: workersTestLong,
		Example: indent("orchestrix workers test mailer"), Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.client()
			if err != nil {
				return err
			}
			t, err := api.TestWorker(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := c.showTest(t); err != nil {
				return err
			}
			if t.Outcome != "succeeded" {
				return errSilent
			}
			return nil
		},
	}
}

// showTest writes the exchange as curl -v would.
func (c *cli) showTest(t *client.WorkerTest) error {
	if c.term.JSON {
		return c.term.WriteJSON(t)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "> %s %s\n", t.Request.Method, t.Request.URL)
	writeExchanged(&b, ">", t.Request.Headers)
	fmt.Fprintf(&b, ">\n> %s\n", t.Request.Body)
	if a := t.Answer; a != nil {
		fmt.Fprintf(&b, "< %d\n", a.Status)
		writeExchanged(&b, "<", a.Headers)
		if a.Body != "" {
			fmt.Fprintf(&b, "<\n< %s\n", oneLine(a.Body, maxShownBody))
		}
	}
	fmt.Fprintf(&b, "%s after %s: %s\n", c.term.Paint(t.Outcome), brief(t.Duration.Std()), t.Meaning)
	if t.Error != "" {
		fmt.Fprintf(&b, "%s: %s\n", t.Reason, oneLine(t.Error, maxShownBody))
	}
	_, err := c.stdout.Write([]byte(b.String()))
	return err
}

const maxShownBody = 1000

func writeExchanged(b *strings.Builder, mark string, headers []client.ExchangedHeader) {
	for _, h := range headers {
		fmt.Fprintf(b, "%s %s: %s\n", mark, oneLine(h.Name, maxShownBody), oneLine(h.Value, maxShownBody))
	}
}
