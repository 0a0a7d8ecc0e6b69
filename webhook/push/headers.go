package push

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orchestrix/orchestrix/job"
)

// The bounds of the headers that a worker's or a job's author may add.
const (
	MaxHeaders      = 64
	MaxHeaderName   = 128
	MaxHeaderValue  = 4 << 10
	MaxHeadersTotal = 16 << 10 // all names and values together
)

// reservedHeaders are decided by the push. The hop-by-hop ones would change the
// framing of the request, the others what it claims to be.
var reservedHeaders = map[string]string{
	"connection": hopByHop, "keep-alive": hopByHop, "proxy-connection": hopByHop, "te": hopByHop,
	"trailer": hopByHop, "transfer-encoding": hopByHop, "upgrade": hopByHop, "http2-settings": hopByHop,
	"content-length":   "is the payload's length and cannot be set",
	"expect":           "is not supported: the payload is always sent at once",
	"host":             "is taken from the URL and cannot be set",
	"content-type":     "is the payload's: set the job's content_type",
	"user-agent":       "is always Orchestrix's and cannot be set",
	"accept-encoding":  "is always identity: answers are kept as they are sent",
	"content-encoding": "cannot be set: payloads are sent as they are",
}

const hopByHop = "is a hop-by-hop header and cannot be set"

// ValidateHeaders returns what is wrong with the headers that a worker's or a
// job's author gives, each field named field + "." + name. Names are tokens in
// any case, unique without regard to case; values are visible ASCII, spaces and
// tabs, not at their ends. Names that the push decides itself are refused:
// hop-by-hop ones, those of the payload, webhook-*, orchestrix-* and proxy-*.
func ValidateHeaders(field string, headers map[string]string) []job.FieldError {
	var errs []job.FieldError
	bad := func(field, format string, args ...any) {
		errs = append(errs, job.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if len(headers) > MaxHeaders {
		bad(field, "must have at most %d entries", MaxHeaders)
		return errs
	}
	total, seen := 0, make(map[string]bool, len(headers))
	for _, name := range sortedNames(headers) {
		value, lower := headers[name], strings.ToLower(name)
		if message := headerFault(name, value); message != "" {
			bad(headerField(field, name), "%s", message)
		} else if seen[lower] {
			bad(headerField(field, name), "is given twice, in different case")
		}
		seen[lower] = true
		total += len(name) + len(value)
	}
	if total > MaxHeadersTotal {
		bad(field, "must be at most %d bytes, all names and values together", MaxHeadersTotal)
	}
	return errs
}

func sortedNames(headers map[string]string) []string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// headerField keeps a hostile name from filling the error.
func headerField(field, name string) string {
	if !isToken(name) || len(name) > MaxHeaderName {
		return fmt.Sprintf("%s[%.64q]", field, name)
	}
	return field + "." + name
}

// headerFault returns what is wrong with one header, or "".
func headerFault(name, value string) string {
	switch {
	case !isToken(name):
		return "is not a valid header name"
	case len(name) > MaxHeaderName:
		return fmt.Sprintf("must have a name of at most %d bytes", MaxHeaderName)
	case len(value) > MaxHeaderValue:
		return fmt.Sprintf("must be at most %d bytes", MaxHeaderValue)
	case !isFieldValue(value):
		return "must be visible ASCII, spaces and tabs, with none of them at its ends"
	}
	return reservedFault(strings.ToLower(name))
}

func reservedFault(lower string) string {
	if message, ok := reservedHeaders[lower]; ok {
		return message
	}
	for _, prefix := range [...]string{"webhook-", "orchestrix-"} {
		if strings.HasPrefix(lower, prefix) {
			return "must not begin with " + prefix + ": such headers are signed by the server"
		}
	}
	if strings.HasPrefix(lower, "proxy-") {
		return hopByHop
	}
	return ""
}

// tokenBytes are those of a header's name, RFC 9110 section 5.6.2.
var tokenBytes = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return t
}()

func isToken[T string | []byte](s T) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x7f || c < ' ' && c != '\t' {
			return false
		}
	}
	return strings.Trim(s, " \t") == s
}
