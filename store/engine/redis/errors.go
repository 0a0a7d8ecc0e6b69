package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/orchestrix/orchestrix/store/engine"
)

// passing are the errors, by their first word, of a server that cannot serve for
// now: it starts, is full, is a replica, waits for its disk, or is told by its
// operator whom to let in. All of them come before anything of a script is
// written.
var passing = map[string]bool{
	"LOADING": true, "BUSY": true, "OOM": true, "MISCONF": true, "READONLY": true, "MASTERDOWN": true,
	"NOREPLICAS": true, "CLUSTERDOWN": true, "TRYAGAIN": true, "MOVED": true, "ASK": true, "UNBLOCKED": true,
	"NOAUTH": true, "WRONGPASS": true, "NOPERM": true, "NOSCRIPT": true, "DENIED": true,
}

// classify gives an error of the client the meaning that callers decide on.
func (e *Engine) classify(ctx context.Context, err error) error {
	var reply redis.Error
	switch {
	case e.isClosed():
		return engine.ErrClosed
	case errors.As(err, &reply):
		return classifyReply(reply)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", engine.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
}

// classifyReply is for what the server answered.
func classifyReply(err error) error {
	word, _, _ := strings.Cut(err.Error(), " ")
	switch {
	case passing[word], strings.HasPrefix(err.Error(), "ERR max number of clients"),
		strings.HasPrefix(err.Error(), "ERR The user executing the script"):
		return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	case word == "WRONGTYPE":
		return fmt.Errorf("%w: a key of the store holds something else: %w", engine.ErrCorrupt, err)
	}
	return err
}

func isReply(err error, word string) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), word+" ")
}
