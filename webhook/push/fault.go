package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// phase is how far a push has come, for the texts of its errors.
type phase uint8

const (
	phaseConnecting phase = iota
	phaseHandshake
	phaseSending
	phaseWaiting
	phaseReading
)

var phaseTexts = [...]string{
	phaseConnecting: "while connecting", phaseHandshake: "during the TLS handshake", phaseSending: "while sending the request",
	phaseWaiting: "while waiting for the answer", phaseReading: "while reading the answer",
}

func (p phase) String() string { return phaseTexts[p] }

// The errors of our own on the way to an answer.
var (
	errClosed   = errors.New("the client is closed")
	errNoTarget = errors.New("request has no destination")
)

// abandoned is what Request.Before returned.
type abandoned struct{ error }

// invalidRequest says that a request could not be built.
type invalidRequest struct{ error }

// failure sets the outcome of a push without a complete answer.
func (x *exchange) failure(ctx context.Context, err error, a *Answer) {
	var (
		blocked *BlockedError
		bad     badAnswer
		lost    abandoned
		invalid invalidRequest
		auth    authError
		proxy   proxyError
		beyond  unreachable
	)
	address := x.address()
	switch {
	case errors.As(err, &lost):
		a.fail(job.ReasonLost, "not sent: "+lost.Error())
		a.Outcome = job.OutcomeLost
	case errors.As(err, &invalid):
		a.fail(job.ReasonInvalidRequest, invalid.Error())
	case errors.Is(err, errClosed):
		a.fail(job.ReasonShutdown, err.Error())
		a.Outcome = job.OutcomeCancelled
	case errors.As(err, &auth):
		a.fail(job.ReasonAuth, auth.Error())
	case errors.As(err, &blocked):
		a.fail(job.ReasonBlockedAddress, x.hostOf(blocked).Error())
	case errors.As(err, &bad):
		a.fail(job.ReasonBadAnswer, "bad answer: "+string(bad))
	case errors.Is(ctx.Err(), context.Canceled):
		a.fail(job.ReasonCancelled, cancelText(ctx, x.phase))
		a.Outcome = job.OutcomeCancelled
	case errors.As(err, &proxy):
		a.fail(job.ReasonProxy, proxy.Error())
		a.Outcome = job.OutcomeThrottled
	case errors.As(err, &beyond):
		a.fail(job.ReasonConnect, fmt.Sprintf("%s: %s", beyond.Error(), address))
	case isTimeout(err):
		a.fail(job.ReasonTimeout, fmt.Sprintf("timed out after %s %s: %s", a.Duration.Round(time.Millisecond), x.phase, address))
		a.Outcome = job.OutcomeTimedOut
	case x.phase == phaseConnecting:
		x.dialFailure(err, a)
	case x.phase == phaseHandshake:
		a.fail(job.ReasonTLS, tlsText(err)+": "+address)
	default:
		a.fail(job.ReasonConnectionLost, fmt.Sprintf("%s %s: %s", lossText(err), x.phase, address))
	}
}

func (x *exchange) address() string {
	if d := x.request.Destination; d != nil {
		return d.Address()
	}
	return ""
}

// hostOf names the host whose address was blocked, where it is not the address
// itself.
func (x *exchange) hostOf(e *BlockedError) *BlockedError {
	if host := x.request.Destination.target.host; host != e.Addr.String() {
		return &BlockedError{Host: host, Addr: e.Addr}
	}
	return e
}

func (x *exchange) dialFailure(err error, a *Answer) {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		a.fail(job.ReasonDNS, fmt.Sprintf("%s: %s", dns.Err, dns.Name))
		return
	}
	a.fail(job.ReasonConnect, fmt.Sprintf("%s: %s", causeText(err), x.address()))
}

// isTimeout tells our own deadlines from the kernel's ETIMEDOUT, which means
// that the other side is unreachable.
func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

func cancelText(ctx context.Context, p phase) string {
	text := "cancelled " + p.String()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		text += ": " + cause.Error()
	}
	return text
}

func causeText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

func lossText(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "connection closed"
	}
	return causeText(err)
}

// tlsText says what of a handshake failed, without the noise of the layers.
func tlsText(err error) string {
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		host   x509.HostnameError
	)
	switch {
	case errors.As(err, &host):
		return "certificate is not valid for the host: " + host.Error()
	case errors.As(err, &verify):
		return "certificate is not trusted: " + verify.Err.Error()
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case errors.Is(err, io.EOF):
		return "connection closed during the TLS handshake"
	}
	return "TLS handshake failed: " + causeText(err)
}
