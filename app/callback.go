package app

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/orchestrix/orchestrix/job"
)

// checkPublicURL returns an error where workers could not report to the PublicURL.
func (c Config) checkPublicURL() error {
	if c.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--public-url %q must be where workers reach this server, such as https://orchestrix.example.com", c.PublicURL)
	}
	return nil
}

// publicURL is where workers reach this server; empty where that is not known.
func (a *App) publicURL() string {
	if a.config.PublicURL != "" {
		return strings.TrimSuffix(a.config.PublicURL, "/")
	}
	if host, _, err := net.SplitHostPort(a.Addr()); err == nil && isLoopback(host) {
		return a.URL()
	}
	return ""
}

// callback returns where workers report on attempts, and by what; nil where they cannot.
func (a *App) callback() func(id job.ID, attempt int) (url, token string) {
	base := a.publicURL()
	if base == "" {
		return nil
	}
	base += "/v1/jobs/"
	return func(id job.ID, attempt int) (url, token string) {
		return base + id.String() + "/attempts/" + strconv.Itoa(attempt), a.control.AttemptToken(id, attempt)
	}
}
