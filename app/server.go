package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/orchestrix/orchestrix/api"
	"github.com/orchestrix/orchestrix/cluster"
)

// requestGrace is how long requests under way may take once the server drains.
// Those that wait for a job would use up the grace of the pushes.
const requestGrace = 5 * time.Second

func (a *App) listen(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.config.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w; choose another address, or stop what has it", a.config.Listen, err)
	}
	a.listener = l
	a.onClose("listener", func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil // the HTTP server has closed it
	})
	return nil
}

func (a *App) assembleServer() error {
	handler := api.New(api.Options{Control: a.control, Metrics: a.metrics, Logger: a.log, Version: a.config.Version, ProbesOnly: !slices.Contains(a.config.roles(), cluster.RoleAPI)})
	a.server = api.NewServer(handler, a.log)
	if a.config.TLSCert == "" {
		return nil
	}
	pair := &keyPair{cert: a.config.TLSCert, key: a.config.TLSKey, log: a.log}
	if err := pair.load(); err != nil {
		return fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	a.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.certificate}
	return nil
}

// stand puts the listener for the calls that come by the thousand before the
// server. TLS connections are the server's alone.
func (a *App) stand() {
	if a.server.TLSConfig == nil {
		a.front = api.NewListener(a.listener, a.server, a.log)
	}
}

func (a *App) serve() error {
	if a.server.TLSConfig != nil {
		return a.server.ServeTLS(a.listener, "", "")
	}
	return a.server.Serve(a.front)
}

// shutdown lets requests under way end, and cuts off those that take too long.
func (a *App) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestGrace)
	defer cancel()
	var err error
	if a.server.Shutdown(ctx) != nil {
		err = a.server.Close()
	}
	if a.front == nil {
		return err
	}
	if drained := a.front.Drain(ctx); !errors.Is(drained, context.DeadlineExceeded) {
		err = errors.Join(err, drained)
	}
	return err
}
