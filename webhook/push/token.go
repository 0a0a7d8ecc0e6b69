package push

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"
)

// The bounds of getting an access token.
const (
	tokenTimeout     = 10 * time.Second
	maxTokenAnswer   = 64 << 10
	maxTokenHeaders  = 32 << 10
	maxTokenLength   = 16 << 10
	maxTokenFailText = 300
	// tokenMargin is how long before its end a token is not used any more, so
	// that it does not end on the way; a short-lived one has a quarter of its life.
	tokenMargin = 30 * time.Second
	// tokenRest spares an endpoint that fails, and one whose tokens the worker
	// does not take, a call for every push.
	tokenRest   = time.Second
	refusalRest = 10 * time.Second
)

// authError says why there is no access token.
type authError struct{ text string }

func (e authError) Error() string { return "no access token: " + e.text }

// tokens holds the access token of one destination. Any number of pushes that
// want one while there is none share one call of the token endpoint, which
// outlives the push that caused it.
type tokens struct {
	config   clientcredentials.Config
	endpoint *target
	calls    singleflight.Group

	mu       sync.Mutex
	token    string
	until    time.Time // zero: until it is refused
	failed   error
	failedAt time.Time
	// refusedAt is when the worker last refused a token.
	refusedAt time.Time
}

func newTokens(a *Auth) (*tokens, error) {
	endpoint, err := parseURL(a.TokenURL)
	if err != nil {
		return nil, fmt.Errorf("token url %w", err)
	}
	t := &tokens{endpoint: endpoint, config: clientcredentials.Config{
		ClientID: a.ClientID, ClientSecret: a.ClientSecret, TokenURL: a.TokenURL, Scopes: a.Scopes,
		AuthStyle: oauth2.AuthStyleInHeader,
	}}
	if a.AuthStyle == AuthStyleBody {
		t.config.AuthStyle = oauth2.AuthStyleInParams
	}
	if a.Audience != "" {
		t.config.EndpointParams = url.Values{"audience": {a.Audience}}
	}
	return t, nil
}

// get returns a token that is valid now, if need be from the endpoint. It fails
// with an authError, a proxyError, the error of ctx, or with errClosed.
func (t *tokens) get(ctx context.Context, c *Client, deadline time.Time) (string, error) {
	if token, err := t.cached(c.now()); token != "" || err != nil {
		return token, err
	}
	//nolint:contextcheck // it is fetched for all pushes that wait, not for the first of them
	result := t.calls.DoChan("", func() (any, error) { return t.fetch(c) })
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case r := <-result:
		if r.Err != nil {
			return "", r.Err
		}
		return r.Val.(string), nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-timer.C:
		return "", authError{"the token endpoint " + t.endpoint.shown + " did not answer before the attempt's deadline"}
	}
}

func (t *tokens) cached(now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && (t.until.IsZero() || now.Before(t.until)) {
		return t.token, nil
	}
	if t.failed != nil && now.Sub(t.failedAt) < tokenRest {
		return "", t.failed
	}
	return "", nil
}

// fetch asks the endpoint, unless somebody did so just before.
func (t *tokens) fetch(c *Client) (string, error) {
	if token, err := t.cached(c.now()); token != "" || err != nil {
		return token, err
	}
	ctx, cancel := context.WithTimeout(c.life, tokenTimeout)
	defer cancel()
	token, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, c.tokenClient))
	if c.life.Err() != nil {
		return "", errClosed
	}
	now := c.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		err = checkToken(token)
	}
	if via := (proxyError{}); errors.As(err, &via) {
		return "", via // of no fault of the endpoint's: asked again at once
	}
	if err != nil {
		t.failed, t.failedAt = authError{t.failText(err)}, now
		return "", t.failed
	}
	t.token, t.until, t.failed = token.AccessToken, time.Time{}, nil
	if !token.Expiry.IsZero() {
		life := time.Until(token.Expiry)
		t.until = now.Add(life - min(tokenMargin, life/4))
	}
	return t.token, nil
}

// errToken is of our own making and holds nothing of what came.
var errToken = errors.New("its answer holds no bearer token that fits into a header")

func checkToken(token *oauth2.Token) error {
	if token.Type() != "Bearer" || len(token.AccessToken) > maxTokenLength || !isBearer(token.AccessToken) {
		return errToken
	}
	return nil
}

// refused drops a token that the worker answered with 401. Of many pushes with
// the same token one drops it; a worker that refuses new tokens too has no more
// of them fetched than one every refusalRest.
func (t *tokens) refused(token string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token != t.token || !t.refusedAt.IsZero() && now.Sub(t.refusedAt) < refusalRest {
		return
	}
	t.token, t.refusedAt = "", now
}

// failText says for people why no token came. What the endpoint wrote is not
// repeated, but for a code of RFC 6749: it may hold what it was sent.
func (t *tokens) failText(err error) string {
	var (
		answer   *oauth2.RetrieveError
		blocked  *BlockedError
		dns      *net.DNSError
		attempt  *url.Error
		unknown  x509.UnknownAuthorityError
		wrongFor x509.HostnameError
	)
	text := "the token endpoint " + t.endpoint.shown + ": "
	switch {
	case errors.As(err, &blocked):
		text += blocked.Error()
	case errors.As(err, &answer):
		text += answerText(answer)
	case errors.As(err, &dns):
		text += dns.Err
	case errors.As(err, &unknown), errors.As(err, &wrongFor):
		text += tlsText(err)
	case errors.As(err, &attempt) && attempt.Timeout():
		text += "timed out"
	case errors.As(err, &attempt):
		text += lossText(attempt.Err)
	default:
		text += errToken.Error()
	}
	return cutText(text, maxTokenFailText)
}

func answerText(e *oauth2.RetrieveError) string {
	if e.Response == nil || e.Response.StatusCode/100 == 2 {
		return errToken.Error()
	}
	text := statusText(e.Response.StatusCode)
	const longest = 40 // of those that RFC 6749 and its extensions define
	if code := e.ErrorCode; code != "" && len(code) <= longest && strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") == "" {
		text += " (" + code + ")"
	}
	return text
}

// newTokenClient returns the client that token endpoints are asked with: dialled
// under the same guard as pushes, and through the same proxy, without redirects or compression, and
// with a bound on what it reads.
func (c *Client) newTokenClient() *http.Client {
	config := c.tls.Clone()
	return &http.Client{
		Timeout:       tokenTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &tokenTransport{c.userAgent, &http.Transport{
			DialContext: c.connect, TLSClientConfig: config, TLSHandshakeTimeout: c.dialTimeout,
			MaxResponseHeaderBytes: maxTokenHeaders, DisableKeepAlives: true, DisableCompression: true,
		}},
	}
}

type tokenTransport struct {
	userAgent string
	next      http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", t.userAgent)
	answer, err := t.next.RoundTrip(r)
	if err == nil {
		answer.Body = boundedBody{io.LimitReader(answer.Body, maxTokenAnswer), answer.Body}
	}
	return answer, err
}

type boundedBody struct {
	io.Reader
	io.Closer
}
