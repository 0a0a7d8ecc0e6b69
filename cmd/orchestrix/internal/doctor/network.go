package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/orchestrix/orchestrix/client"
)

// skewed is a difference of clocks that matters: workers accept signatures of a
// few minutes, and the Date header is only precise to the second.
const skewed = 30 * time.Second

// port says whether a server could listen on the address, or does.
func port(ctx context.Context, listen string, running bool) Check {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	switch {
	case err == nil:
		l.Close()
		return Check{"port", OK, listen + " is free", ""}
	case running:
		return Check{"port", OK, listen + " is in use, and the server is running", ""}
	}
	return Check{"port", Failed, err.Error(), "stop what uses it, or choose another with --listen"}
}

// server asks the running server, if there is one, whether it is well and
// whether the key works. running says that there is one.
func server(ctx context.Context, o Options) (checks []Check, running bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	ready, err := o.API.Ready(ctx)
	var problem *client.Problem
	if err != nil && !errors.As(err, &problem) {
		absent := Check{"server", Skipped, "none is running at " + o.API.URL(), ""}
		if o.Expected {
			absent.Result, absent.Advice = Failed, "start it, or correct --server (ORCHESTRIX_URL)"
		}
		return []Check{absent}, false
	}
	if err != nil {
		return []Check{{"server", Failed, err.Error(), "look at the server's log"}}, true
	}
	checks = append(checks, Check{"server", OK, o.API.URL() + " is ready", ""})
	checks = append(checks, clock(ready.At, time.Now()), key(ctx, o.API))
	return checks, true
}

// clock compares the clocks of this machine and the server's.
func clock(theirs, ours time.Time) Check {
	if theirs.IsZero() {
		return Check{"clock", Skipped, "the server does not tell its time", ""}
	}
	skew := ours.Sub(theirs).Abs().Round(time.Second)
	if skew > skewed {
		return Check{"clock", Warning, fmt.Sprintf("%s apart from the server's", skew), "set the clocks by NTP: workers refuse signatures that are minutes off"}
	}
	return Check{"clock", OK, fmt.Sprintf("within %s of the server's", max(skew, time.Second)), ""}
}

// key says whether the API key is good for reading.
func key(ctx context.Context, api *client.Client) Check {
	_, err := api.JobPage(ctx, client.JobFilter{}, client.PageOptions{Limit: 1})
	switch {
	case err == nil:
		return Check{"API key", OK, "jobs can be read", ""}
	case client.HasStatus(err, http.StatusUnauthorized):
		return Check{"API key", Failed, "the server wants one, or another one", "give it with --api-key or ORCHESTRIX_KEY"}
	case client.HasStatus(err, http.StatusForbidden):
		return Check{"API key", Warning, "it may not read jobs", ""}
	}
	return Check{"API key", Failed, err.Error(), "look at the server's log"}
}

// workers looks whether each worker's host can be connected to from here. That
// the server can is another matter where it runs elsewhere.
func workers(ctx context.Context, api *client.Client) []Check {
	var out []Check
	for w, err := range api.Workers(ctx) {
		if err != nil {
			return append(out, Check{"workers", Skipped, err.Error(), ""})
		}
		out = append(out, worker(ctx, w))
	}
	return out
}

func worker(ctx context.Context, w client.Worker) Check {
	name := "worker " + w.Name
	if w.Paused {
		return Check{name, Warning, "paused: " + w.PauseReason, "orchestrix workers resume " + w.Name}
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return Check{name, Failed, "its URL cannot be read", "register it again"}
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	dialer := net.Dialer{Timeout: checkTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return Check{name, Warning, err.Error(), "start it, or correct its URL"}
	}
	conn.Close()
	return Check{name, OK, address + " can be connected to from here", ""}
}
