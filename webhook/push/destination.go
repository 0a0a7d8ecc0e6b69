package push

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// DestinationConfig is what a Destination is built from.
type DestinationConfig struct {
	// Name is the worker's; empty for an ad-hoc URL.
	Name string
	URL  string
	// Method is POST where it is empty, else one of job.Methods.
	Method string
	// Headers are the worker's own, as ValidateHeaders accepts them.
	Headers map[string]string
	// Secrets sign every push: one, or several while a secret rotates.
	Secrets []webhook.Secret
	// Keys sign every push too: none, one, or several while a key rotates.
	Keys []webhook.PrivateKey
	// Auth, as ValidateAuth accepts it, tells the worker who pushes.
	Auth Auth
}

// Destination is where pushes go, prepared once: the URL is parsed, the
// headers are laid out, the signer is ready. Only its access token changes, by
// itself. It may be used concurrently; a changed configuration is a new
// Destination.
type Destination struct {
	name   string
	target *target
	start  string // request line, host header, and what Auth adds to every push
	// bodiless says that a request without a payload has no content, rather than
	// one of no bytes (RFC 9110, 8.6).
	bodiless bool
	headers  map[string]string // the worker's own
	static   string            // the same as they are sent
	signer   *webhook.Signer
	// authHeader is the name of the header that Auth sets, or "": a job's own
	// header of that name is not sent.
	authHeader string
	tokens     *tokens   // of type oauth2
	identity   *identity // of type mtls
}

// NewDestination prepares a destination. It fails on what CheckURL,
// ValidateHeaders and ValidateAuth refuse, and without a secret: no push is
// unsigned.
func NewDestination(c DestinationConfig) (*Destination, error) {
	t, err := parseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url %w", err)
	}
	if errs := ValidateHeaders("headers", c.Headers); len(errs) > 0 {
		return nil, errs[0]
	}
	if errs := ValidateAuth("auth", &c.Auth, c.URL, c.Headers); len(errs) > 0 {
		return nil, errs[0]
	}
	method := c.Method
	if method == "" {
		method = job.MethodPost
	}
	if !job.ValidMethod(method) {
		return nil, fmt.Errorf("method must be one of %v", job.Methods())
	}
	signer, err := webhook.NewSigner(c.Secrets...)
	if err == nil && len(c.Keys) > 0 {
		signer, err = signer.WithKeys(c.Keys...)
	}
	if err != nil {
		return nil, err
	}
	d := &Destination{
		name: c.Name, target: t, signer: signer,
		start:   method + " " + t.path + " HTTP/1.1\r\nHost: " + t.hostPort + "\r\n",
		headers: maps.Clone(c.Headers), bodiless: method == job.MethodGet || method == job.MethodDelete,
	}
	d.static = string(d.appendHeaders(nil, nil))
	return d, d.authenticate(&c.Auth)
}

// authenticate lays out what can be known of the Auth before the first push.
func (d *Destination) authenticate(a *Auth) (err error) {
	d.authHeader = a.header()
	if value := a.static(); value != "" {
		d.start = string(appendHeader([]byte(d.start), d.authHeader, value))
	}
	switch a.Type {
	case AuthOAuth2:
		d.tokens, err = newTokens(a)
	case AuthMTLS:
		if d.identity, err = newIdentity(a); err == nil {
			d.target.key += "#" + d.identity.id
		}
	}
	return err
}

// Name returns the worker's name; empty for an ad-hoc URL.
func (d *Destination) Name() string { return d.name }

// URL returns where the pushes go, without the query, which may hold a secret.
func (d *Destination) URL() string { return d.target.shown }

// Address returns the host and port that are dialled.
func (d *Destination) Address() string { return d.target.address() }

// appendHeaders appends the worker's headers but for those that the job has
// too, whatever their case.
func (d *Destination) appendHeaders(dst []byte, overridden map[string]string) []byte {
	for _, name := range slices.Sorted(maps.Keys(d.headers)) {
		if !hasHeader(overridden, name) {
			dst = appendHeader(dst, name, d.headers[name])
		}
	}
	return dst
}

func hasHeader(headers map[string]string, name string) bool {
	for other := range headers {
		if strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}
