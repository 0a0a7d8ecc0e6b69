package e2e_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	workersdk "github.com/orchestrix/orchestrix/worker"
)

// What a handler says of its job is followed while it works, in order, and read later.
func TestAsyncLogAndProgress(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	s, h := startServer(t, t.TempDir()), startHook(t)
	seen := make(chan struct{})
	workersdk.Handle(h.Mux, "long", func(ctx context.Context, job workersdk.Job[[]byte]) error {
		job.Progress(50, "half")
		job.Log(slog.LevelWarn, "a\x1b[2J", "n", 7)
		job.Log(slog.LevelInfo, "b")
		select {
		case <-seen:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		job.Log(slog.LevelError, "c")
		return nil
	}, workersdk.Async())
	h.serve(t, ctx, s, "w", 0)
	id := submit(t, ctx, s, job.Policy{})

	var followed []client.LogLine
	var progress *client.Progress
	status := ""
	for e, err := range s.FollowLogs(ctx, id) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Line != nil:
			if followed = append(followed, *e.Line); len(followed) == 2 {
				close(seen) // it is told while the handler works
			}
		case e.Progress != nil:
			progress = e.Progress
		default:
			status = e.Ended
		}
	}
	if status != "succeeded" || progress == nil || progress.Percent != 50 || progress.Message != "half" || progress.Attempt != 1 {
		t.Errorf("it is %q, with %+v", status, progress)
	}
	var read []client.LogLine
	for line, err := range s.JobLogs(ctx, id) {
		if err != nil {
			t.Fatal(err)
		}
		read = append(read, line)
	}
	for _, lines := range [][]client.LogLine{followed, read} {
		if len(lines) != 3 || lines[0].Message != "a\x1b[2J" || lines[0].Level != "warn" || string(lines[0].Fields) != `{"n":7}` || lines[1].Message != "b" || lines[2].Level != "error" || lines[2].Number != 3 {
			t.Errorf("the log: %+v", lines)
		}
	}
	j := ended(t, ctx, s, id)
	if j.Accepted || j.Progress == nil || j.Progress.Percent != 50 {
		t.Errorf("the job: %+v", j)
	}
	if err := s.DeleteJob(ctx, id); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.JobLogs(ctx, id) {
		if !client.HasStatus(err, 404) {
			t.Errorf("after it was deleted: %v", err)
		}
	}
	s.terminate(t)
}
