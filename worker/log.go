package worker

import (
	"context"
	"log/slog"
	"slices"
)

// Progress says how far the job is: a share from 0 to 100 percent, and a few
// words, which may be empty. It never blocks, and is sent once a second at most,
// the newest alone. Only an asynchronous job has a server that waits for it: for
// others nothing is sent.
func (p *Push) Progress(percent float64, message string) {
	if p.journal != nil {
		p.journal.setProgress(percent, message)
	}
}

// Log logs for the job, as slog does, to the logger of the Mux and, where the job
// is asynchronous, to the log that the server keeps of it. It never blocks for the
// server: lines are gathered for a second, and dropped and counted where more come
// than 1,000 or 256 KiB. A line may have 16 KiB, a text in it 4.
func (p *Push) Log(level slog.Level, message string, args ...any) {
	p.Logger().Log(context.Background(), level, message, args...)
}

// Logger returns a logger that writes where Log does.
func (p *Push) Logger() *slog.Logger {
	base := p.logger
	if base == nil {
		base = slog.Default()
	}
	handler := base.Handler().WithAttrs(p.attrs())
	if p.journal != nil {
		handler = slog.NewMultiHandler(handler, p.journal.handler)
	}
	return slog.New(handler)
}

// attrs are what every line of a job has in a log that is not the job's.
func (p *Push) attrs() []slog.Attr {
	return []slog.Attr{slog.String("job", p.ID), slog.String("type", p.Type), slog.Int("attempt", p.Attempt)}
}

// NewLogHandler returns a slog.Handler that passes records on to next. Where the
// context of a record is that of a handler, the record says of which job it is,
// and goes to the log that the server keeps of an asynchronous job too: what the
// program logs with slog.InfoContext is then found there.
func NewLogHandler(next slog.Handler) slog.Handler {
	return &logHandler{base: next, next: next}
}

type logHandler struct {
	base  slog.Handler
	next  slog.Handler // base with the steps
	steps []func(slog.Handler) slog.Handler
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	p, ok := FromContext(ctx)
	if !ok {
		return h.next.Handle(ctx, r)
	}
	if p.journal != nil {
		if err := h.apply(p.journal.handler).Handle(ctx, r.Clone()); err != nil {
			return err
		}
	}
	return h.apply(h.base.WithAttrs(p.attrs())).Handle(ctx, r)
}

// apply repeats what was asked of h on another handler.
func (h *logHandler) apply(to slog.Handler) slog.Handler {
	for _, step := range h.steps {
		to = step(to)
	}
	return to
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *logHandler) with(step func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{h.base, step(h.next), append(slices.Clip(h.steps), step)}
}
