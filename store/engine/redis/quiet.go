package redis

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// quietClient has the client library print nothing: what fails is returned by the
// call that it fails, and this process's log is not the library's.
var quietClient = sync.OnceFunc(func() { redis.SetLogger(quietLogger{}) })

type quietLogger struct{}

// Printf does nothing.
func (quietLogger) Printf(context.Context, string, ...any) {}
