package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultURL is where a server listens that was told nothing else.
const DefaultURL = "http://127.0.0.1:8080"

// Client calls one server.
type Client struct {
	base      *url.URL
	http      *http.Client
	key       string
	userAgent string
	retries   int
}

// Option changes how a Client calls.
type Option func(*Client)

// WithKey sends the API key with each call.
func WithKey(key string) Option { return func(c *Client) { c.key = key } }

// WithHTTPClient calls through h instead of a client of its own. A timeout set
// in h bounds every call, also those that wait for a job: prefer a context.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithUserAgent names the program in the server's log.
func WithUserAgent(name string) Option { return func(c *Client) { c.userAgent = name } }

// WithRetries sets how often a call is repeated at most; the default is
// DefaultRetries. With 0 nothing is repeated, and enqueues get no idempotency
// key unless they bring one.
func WithRetries(n int) Option { return func(c *Client) { c.retries = max(n, 0) } }

// DefaultRetries rides out a restart of the server: the waits before the four
// repetitions add up to at most 7.5 seconds, longer where the server asks for it.
const DefaultRetries = 4

// New returns a client for the server at baseURL, such as
// "http://127.0.0.1:8080". It does not connect.
func New(baseURL string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("server URL: %w", errors.Unwrap(err)) // without the URL: it may hold a password
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return nil, errors.New("server URL: must begin with http:// or https:// and name a host")
	case u.User != nil:
		return nil, errors.New("server URL: must not hold credentials, use WithKey")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawQuery, u.Fragment = "", ""
	c := &Client{base: u, userAgent: "orchestrix-go", retries: DefaultRetries}
	for _, option := range options {
		option(c)
	}
	if c.http == nil {
		c.http = &http.Client{Transport: newTransport()}
	}
	return c, nil
}

// newTransport keeps as many idle connections as a busy enqueuer uses at once;
// the standard library's two would make it dial all the time.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 256
	t.IdleConnTimeout = 30 * time.Second
	return t
}

// URL returns the server's base URL.
func (c *Client) URL() string { return c.base.String() }
