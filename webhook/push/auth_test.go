package push

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

func newAuthDestination(t testing.TB, url string, a Auth) *Destination {
	t.Helper()
	d, err := NewDestination(DestinationConfig{Name: "w", URL: url, Secrets: []webhook.Secret{testSecret}, Auth: a})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAuthHeader(t *testing.T) {
	t.Parallel()
	headers := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header }))
	t.Cleanup(server.Close)
	client := newClient(t, Options{})
	for _, c := range []struct {
		auth       Auth
		name, want string
	}{
		// RFC 7617, section 2: the example with a password that is not ASCII.
		{Auth{Type: AuthBasic, Username: "test", Password: "123£"}, "Authorization", "Basic dGVzdDoxMjPCow=="},
		{Auth{Type: AuthBearer, Token: "mF_9.B5f-4.1JqM"}, "Authorization", "Bearer mF_9.B5f-4.1JqM"},
		{Auth{Type: AuthHeader, Name: "X-Api-Key", Value: "k 1"}, "X-Api-Key", "k 1"},
	} {
		r := newRequest(newAuthDestination(t, server.URL, c.auth), "{}")
		r.Headers = map[string]string{"X-Mine": "1"}
		r.Headers[strings.ToLower(c.name)] = "the job's own"
		if a := client.Push(t.Context(), r); a.Outcome != job.OutcomeSucceeded {
			t.Fatalf("%s: %+v", c.auth.Type, a)
		}
		got := <-headers
		if values := got.Values(c.name); !slices.Equal(values, []string{c.want}) {
			t.Errorf("%s: %s is %q, want %q alone", c.auth.Type, c.name, values, c.want)
		}
		if got.Get("X-Mine") != "1" {
			t.Errorf("%s: the job's other header is missing", c.auth.Type)
		}
	}
}

// TestAuthDoesNotLeak: whatever prints an Auth shows its type only.
func TestAuthDoesNotLeak(t *testing.T) {
	t.Parallel()
	a := Auth{Type: AuthBearer, Token: "hidden", Password: "hidden"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "auth", a, "pointer", &a, "in", struct{ Auth Auth }{a}.Auth)
	shown := fmt.Sprintf("%v %+v %#v %s %q %x", a, &a, a, a, a, a) + fmt.Sprint(DestinationConfig{Auth: a}) + log.String()
	if strings.Contains(shown, "hidden") || !strings.Contains(shown, "auth(bearer)") {
		t.Errorf("shown as %s", shown)
	}
}

func TestValidateAuth(t *testing.T) {
	t.Parallel()
	cert, key := testIdentity(t, newAuthority(t))
	_, otherKey := testIdentity(t, newAuthority(t))
	oauth := Auth{Type: AuthOAuth2, TokenURL: "https://id.example/token", ClientID: "c", ClientSecret: "s"}
	with := func(a Auth, change func(*Auth)) Auth { change(&a); return a }
	for name, c := range map[string]struct {
		auth Auth
		want string // the one field
	}{
		"none":              {Auth{}, ""},
		"unknown type":      {Auth{Type: "digest"}, "auth.type"},
		"no type":           {Auth{Token: "t"}, "auth.type"},
		"scopes alone":      {Auth{Scopes: []string{"a"}}, "auth.type"},
		"basic":             {Auth{Type: AuthBasic, Username: "u", Password: "p:q"}, ""},
		"colon":             {Auth{Type: AuthBasic, Username: "u:v", Password: "p"}, "auth.username"},
		"control":           {Auth{Type: AuthBasic, Username: "u", Password: "p\x00"}, "auth.password"},
		"no password":       {Auth{Type: AuthBasic, Username: "u"}, "auth.password"},
		"bearer":            {Auth{Type: AuthBearer, Token: "t"}, ""},
		"line break":        {Auth{Type: AuthBearer, Token: "t\r\nx: y"}, "auth.token"},
		"long":              {Auth{Type: AuthBearer, Token: repeated("t", MaxCredential+1)}, "auth.token"},
		"of another type":   {Auth{Type: AuthBearer, Token: "t", Username: "u"}, "auth.username"},
		"bearer scopes":     {Auth{Type: AuthBearer, Token: "t", Scopes: []string{"a"}}, "auth.scopes"},
		"beside the header": {Auth{Type: AuthHeader, Name: "x-FIXED", Value: "v"}, "auth.type"},
		"reserved":          {Auth{Type: AuthHeader, Name: "Webhook-Id", Value: "v"}, "auth.name"},
		"value":             {Auth{Type: AuthHeader, Name: "x-key", Value: "v\n"}, "auth.value"},
		"oauth2":            {oauth, ""},
		"token url":         {with(oauth, func(a *Auth) { a.TokenURL = "https://u:p@id.example/" }), "auth.token_url"},
		"auth style":        {with(oauth, func(a *Auth) { a.AuthStyle = "query" }), "auth.auth_style"},
		"scope":             {with(oauth, func(a *Auth) { a.Scopes = []string{"a", "b c"} }), "auth.scopes[1]"},
		"many scopes":       {with(oauth, func(a *Auth) { a.Scopes = make([]string, MaxScopes+1) }), "auth.scopes"},
		"mtls":              {Auth{Type: AuthMTLS, Certificate: cert, Key: key}, ""},
		"other key":         {Auth{Type: AuthMTLS, Certificate: cert, Key: otherKey}, "auth.key"},
		"no certificate":    {Auth{Type: AuthMTLS, Certificate: "c", Key: key}, "auth.certificate"},
		"no authority":      {Auth{Type: AuthMTLS, Certificate: cert, Key: key, CA: "ca"}, "auth.ca"},
	} {
		errs := ValidateAuth("auth", &c.auth, "https://w.example", map[string]string{"X-Fixed": "1"})
		switch {
		case c.want == "" && len(errs) > 0, c.want != "" && (len(errs) != 1 || errs[0].Field != c.want):
			t.Errorf("%s: %v, want %q", name, errs, c.want)
		}
	}
	plain := ValidateAuth("auth", &Auth{Type: AuthMTLS, Certificate: cert, Key: key}, "http://w.example", nil)
	if len(plain) != 1 || plain[0].Field != "auth.type" {
		t.Errorf("mtls without TLS: %v", plain)
	}
}

// testIdentity returns a client certificate and its key as PEM.
func testIdentity(t *testing.T, ca *authority) (cert, key string) {
	t.Helper()
	issued := ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	der, err := x509.MarshalPKCS8PrivateKey(issued.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM(issued.Certificate[0]), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestMutualTLS: each destination shows its own certificate, on connections and
// TLS sessions of its own, and trusts its own authorities only.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	servers, clients := newAuthority(t), newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{servers.issue(t, nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.pool}
	seen := make(chan []byte, 100)
	server := serveTLS(t, config, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			if q, _ := w.readRequest(r); q == nil {
				return
			}
			seen <- c.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
			if _, err := c.Write([]byte(okAnswer)); err != nil {
				return
			}
		}
	})
	client := newClient(t, Options{MaxIdle: -1})
	ca := certPEM(servers.cert.Raw)
	certs := map[string]*Destination{}
	for range 2 {
		cert, key := testIdentity(t, clients)
		certs[cert] = newAuthDestination(t, server.url, Auth{Type: AuthMTLS, Certificate: cert, Key: key, CA: ca})
	}
	for range 3 {
		for cert, d := range certs {
			pushOK(t, client, d)
			if got := certPEM(<-seen); got != cert {
				t.Fatal("a push came with another destination's certificate")
			}
		}
	}
	stranger, key := testIdentity(t, newAuthority(t))
	for name, a := range map[string]Auth{
		"stranger":              {Type: AuthMTLS, Certificate: stranger, Key: key, CA: ca},
		"other authority":       {Type: AuthMTLS, Certificate: stranger, Key: key, CA: certPEM(clients.cert.Raw)},
		"no client certificate": {},
	} {
		answer := client.Push(context.Background(), newRequest(newAuthDestination(t, server.url, a), "{}"))
		if answer.Outcome != job.OutcomeFailed || answer.Reason != job.ReasonTLS && answer.Reason != job.ReasonConnectionLost {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	if len(seen) > 0 {
		t.Error("a request got through")
	}
}
