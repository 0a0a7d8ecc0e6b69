package push

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// AuthType is a way in which a push proves to the worker who sends it.
type AuthType string

// The types of Auth. The empty one sends nothing: the signature is the proof.
const (
	AuthBasic  AuthType = "basic"  // Username, Password
	AuthBearer AuthType = "bearer" // Token
	AuthHeader AuthType = "header" // Name, Value: an API key
	AuthOAuth2 AuthType = "oauth2" // client credentials: TokenURL, ClientID, ClientSecret, Scopes, Audience, AuthStyle
	AuthMTLS   AuthType = "mtls"   // Certificate, Key, CA
)

// AuthTypes lists all types.
func AuthTypes() []AuthType {
	return []AuthType{AuthBasic, AuthBearer, AuthHeader, AuthOAuth2, AuthMTLS}
}

// How an OAuth 2 client tells its id and secret to the token endpoint.
const (
	AuthStyleHeader = "header" // HTTP Basic; the default
	AuthStyleBody   = "body"   // as parameters of the form
)

// The bounds of an Auth's members in bytes.
const (
	MaxCredential = 8 << 10  // of a name, password, token or key
	MaxPEM        = 64 << 10 // of a certificate chain, a private key or authorities
	MaxScopes     = 64
)

// Auth is how a worker is told who pushes, beside the signature. The members
// that its Type does not name are empty.
//
// An Auth does not leak by accident: however it is printed or logged, only its
// type is shown. Its JSON is what is stored and holds everything.
type Auth struct {
	Type AuthType `json:"type"`

	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`

	Token string `json:"token,omitempty"`

	// Name and Value are a header's.
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`

	TokenURL     string   `json:"token_url,omitempty"`
	ClientID     string   `json:"client_id,omitempty"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	Audience     string   `json:"audience,omitempty"`
	// AuthStyle is AuthStyleHeader, AuthStyleBody or empty for the former.
	AuthStyle string `json:"auth_style,omitempty"`

	// Certificate is the client's chain and Key its private key; CA, where it is
	// set, are the only authorities that the worker's certificate may come from.
	// All of them are PEM.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	CA          string `json:"ca,omitempty"`
}

// Format implements fmt.Formatter, so that no verb shows a credential.
func (a Auth) Format(f fmt.State, _ rune) { io.WriteString(f, "auth("+string(a.Type)+")") }

// LogValue implements slog.LogValuer.
func (a Auth) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(a)) }

// AuthMember is one text of an Auth.
type AuthMember struct {
	Name string // in JSON
	Of   AuthType
	// Required members must not be empty; Secret ones are not shown.
	Required, Secret bool
	At               *string
}

// Members returns the texts of a, each with a pointer to it.
func (a *Auth) Members() []AuthMember {
	return []AuthMember{
		{"username", AuthBasic, true, false, &a.Username},
		{"password", AuthBasic, true, true, &a.Password},
		{"token", AuthBearer, true, true, &a.Token},
		{"name", AuthHeader, true, false, &a.Name},
		{"value", AuthHeader, true, true, &a.Value},
		{"token_url", AuthOAuth2, true, false, &a.TokenURL},
		{"client_id", AuthOAuth2, true, false, &a.ClientID},
		{"client_secret", AuthOAuth2, true, true, &a.ClientSecret},
		{"audience", AuthOAuth2, false, false, &a.Audience},
		{"auth_style", AuthOAuth2, false, false, &a.AuthStyle},
		{"certificate", AuthMTLS, true, true, &a.Certificate},
		{"key", AuthMTLS, true, true, &a.Key},
		{"ca", AuthMTLS, false, true, &a.CA},
	}
}

// IsZero reports whether nothing is set.
func (a Auth) IsZero() bool {
	return a.Type == "" && len(a.Scopes) == 0 &&
		!slices.ContainsFunc(a.Members(), func(m AuthMember) bool { return *m.At != "" })
}

// CertificateExpires returns when the client's certificate ends; zero where
// there is none.
func (a *Auth) CertificateExpires() time.Time {
	block, _ := pem.Decode([]byte(a.Certificate))
	if block == nil {
		return time.Time{}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return cert.NotAfter
}

// ValidateAuth returns what is wrong with the Auth of a worker that has this URL
// and these headers; each field is named field + "." + name. No message repeats
// a credential. Whether TokenURL may be reached is for Guard.CheckURL.
func ValidateAuth(field string, a *Auth, url string, headers map[string]string) []job.FieldError {
	if a.IsZero() {
		return nil
	}
	var errs []job.FieldError
	bad := func(name, format string, args ...any) {
		errs = append(errs, job.FieldError{Field: field + "." + name, Message: fmt.Sprintf(format, args...)})
	}
	if !slices.Contains(AuthTypes(), a.Type) {
		bad("type", "must be one of %v", AuthTypes())
		return errs
	}
	for _, m := range a.Members() {
		switch limit := memberLimit(m.Of); {
		case m.Of != a.Type && *m.At != "":
			bad(m.Name, "is not for type %s", a.Type)
		case m.Of == a.Type && m.Required && *m.At == "":
			bad(m.Name, "is required for type %s", a.Type)
		case len(*m.At) > limit:
			bad(m.Name, "must be at most %d bytes", limit)
		}
	}
	if len(a.Scopes) > 0 && a.Type != AuthOAuth2 {
		bad("scopes", "is not for type %s", a.Type)
	}
	if len(errs) > 0 {
		return errs
	}
	a.checkMembers(bad, url)
	if name := a.header(); name != "" && hasHeader(headers, name) {
		bad("type", "sets the header %s, which is among the headers too", name)
	}
	return errs
}

func memberLimit(of AuthType) int {
	if of == AuthMTLS {
		return MaxPEM
	}
	return MaxCredential
}

// checkMembers judges the members of an Auth that has what its type needs.
func (a *Auth) checkMembers(bad func(name, format string, args ...any), url string) {
	switch a.Type {
	case AuthBasic:
		if strings.Contains(a.Username, ":") || hasControl(a.Username) {
			bad("username", "must not hold a colon or a control character")
		}
		if hasControl(a.Password) {
			bad("password", "must not hold a control character")
		}
	case AuthBearer:
		if !isBearer(a.Token) {
			bad("token", "must be visible ASCII without spaces")
		}
	case AuthHeader:
		if fault := headerFault(a.Name, ""); fault != "" {
			bad("name", "%s", fault)
		}
		if !isFieldValue(a.Value) {
			bad("value", "must be visible ASCII, spaces and tabs, with none of them at its ends")
		}
	case AuthOAuth2:
		a.checkOAuth2(bad)
	case AuthMTLS:
		a.checkMTLS(bad, url)
	}
}

func (a *Auth) checkOAuth2(bad func(name, format string, args ...any)) {
	if err := CheckURL(a.TokenURL); err != nil {
		bad("token_url", "%s", err)
	}
	if a.AuthStyle != "" && a.AuthStyle != AuthStyleHeader && a.AuthStyle != AuthStyleBody {
		bad("auth_style", "must be %s or %s", AuthStyleHeader, AuthStyleBody)
	}
	if len(a.Scopes) > MaxScopes {
		bad("scopes", "must have at most %d entries", MaxScopes)
		return
	}
	for i, scope := range a.Scopes {
		if len(scope) > MaxCredential || !isBearer(scope) {
			bad(fmt.Sprintf("scopes[%d]", i), "must be visible ASCII without spaces")
		}
	}
}

func (a *Auth) checkMTLS(bad func(name, format string, args ...any), url string) {
	if !strings.HasPrefix(strings.ToLower(url), "https://") {
		bad("type", "mtls needs a worker with an https:// URL")
	}
	if a.CertificateExpires().IsZero() {
		bad("certificate", "must be a certificate, or a chain that begins with the client's, as PEM")
	} else if _, err := tls.X509KeyPair([]byte(a.Certificate), []byte(a.Key)); err != nil {
		bad("key", "must be the private key of the certificate, as PEM and not encrypted")
	}
	if a.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(a.CA)) {
		bad("ca", "must be one or more certificates as PEM")
	}
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// isBearer reports whether s may stand behind "Bearer ".
func isBearer(s string) bool { return s != "" && isFieldValue(s) && !strings.ContainsAny(s, " \t") }

// header returns the name of the header that the Auth sets, or "".
func (a *Auth) header() string {
	switch a.Type {
	case AuthBasic, AuthBearer, AuthOAuth2:
		return "Authorization"
	case AuthHeader:
		return a.Name
	}
	return ""
}

// static returns the value of that header where every push has the same.
func (a *Auth) static() string {
	switch a.Type {
	case AuthBasic:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password))
	case AuthBearer:
		return "Bearer " + a.Token
	case AuthHeader:
		return a.Value
	}
	return ""
}
