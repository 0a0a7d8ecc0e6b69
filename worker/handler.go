package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
)

// Handler runs a push. Handle and HandleResult make one of a function with a
// payload of its own type.
type Handler interface {
	// ServePush runs the push until it is done. It is called concurrently. ctx ends
	// with the push's deadline, when the server closes the request, and when the
	// job is cancelled.
	ServePush(ctx context.Context, p *Push) (Result, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, p *Push) (Result, error)

// ServePush calls f.
func (f HandlerFunc) ServePush(ctx context.Context, p *Push) (Result, error) { return f(ctx, p) }

// Middleware wraps a Handler. It sees the push before it is decoded, and the error
// that is going to be answered; a panic of the handler has become a *PanicError
// by then.
type Middleware func(next Handler) Handler

// chain wraps h so that the first of the middlewares is the outermost.
func chain(h Handler, middlewares ...Middleware) Handler {
	for i := len(middlewares) - 1; i >= 0; i-- {
		h = middlewares[i](h)
	}
	return h
}

// PanicError is the error of a handler that panicked. Its text holds the value,
// and not the stack.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value that was panicked with.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// recovered turns a panic of h into an error. http.ErrAbortHandler goes on: it
// asks net/http to drop the connection.
func recovered(h Handler) Handler {
	return HandlerFunc(func(ctx context.Context, p *Push) (_ Result, err error) {
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			if cause, ok := value.(error); ok && errors.Is(cause, http.ErrAbortHandler) {
				panic(value)
			}
			err = &PanicError{value, debug.Stack()}
		}()
		return h.ServePush(ctx, p)
	})
}
