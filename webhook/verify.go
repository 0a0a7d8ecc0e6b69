package webhook

import (
	"crypto/ed25519"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultTolerance is how far the time of a push may lie from the verifier's
// clock, in either direction. It is that of the Standard Webhooks libraries.
const DefaultTolerance = 5 * time.Minute

// The bounds of what a Verifier looks at. Whatever is over them is refused
// before anything is hashed.
const (
	maxIDLength   = 256
	maxOwnHeaders = 64
)

// Why a push was refused. Each may be wrapped with the header's name.
var (
	ErrMissingHeader       = errors.New("webhook: header is missing")
	ErrDuplicateHeader     = errors.New("webhook: header is given more than once")
	ErrMalformedHeader     = errors.New("webhook: header is malformed")
	ErrTimestampMalformed  = errors.New("webhook: timestamp is malformed")
	ErrTimestampTooOld     = errors.New("webhook: timestamp is too old")
	ErrTimestampTooNew     = errors.New("webhook: timestamp is too new")
	ErrNoMatchingSignature = errors.New("webhook: no signature matches")
)

// Verifier checks that a push was signed with one of the secrets, or with the
// private key of one of the public keys, not long ago.
// Its fields must not be changed while it is used; Verify may be called
// concurrently.
type Verifier struct {
	// Secrets are those that are accepted: two while a secret rotates.
	Secrets []Secret
	// PublicKeys are those that are accepted. A worker that has only them cannot
	// make pushes itself; one that has Secrets too accepts either.
	PublicKeys []PublicKey
	// Tolerance bounds the push's age, and how far it may lie in the future.
	// Zero or less means DefaultTolerance.
	Tolerance time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// AllowPlain accepts a request without a single orchestrix-* header by its
	// webhook-signature alone, as another Standard Webhooks sender would send
	// it. Without it orchestrix-signature is always required: who could strip
	// all of these headers from a push would otherwise pass.
	AllowPlain bool

	states sync.Pool // of *signing, each for the Secrets that it was made with
}

// Verify reports whether header and body are those of a signed push: nil, or
// an error that matches one of this package's. body is the request's body as it
// was received, byte by byte.
//
// Both signatures must match, each under any of the secrets and keys. Every
// orchestrix-* header is covered, so one that was added, removed, changed or
// repeated on the way is refused.
func (v *Verifier) Verify(header http.Header, body []byte) error {
	m, err := readMessage(header)
	if err != nil {
		return err
	}
	if err := v.checkTime(m.timestamp); err != nil {
		return err
	}
	if len(v.Secrets)+len(v.PublicKeys) == 0 || slices.ContainsFunc(v.Secrets, Secret.IsZero) || slices.ContainsFunc(v.PublicKeys, PublicKey.IsZero) {
		return ErrNoSecret
	}
	signatures, err := parseSignatures(m.signature)
	if err != nil {
		return fmt.Errorf("%w: %s", err, HeaderSignature)
	}
	st := v.signing()
	defer v.keep(st)
	st.begin(m.id, m.timestamp)
	if !v.matches(st, &signatures, body) {
		return fmt.Errorf("%w: %s", ErrNoMatchingSignature, HeaderSignature)
	}
	if m.own == "" && len(m.lines) == 0 && v.AllowPlain {
		return nil
	}
	return v.verifyOwn(m, st, body)
}

// signing returns the state for the secrets, prepared by an earlier call where there
// was one: hashing the padded keys is half of a short HMAC.
func (v *Verifier) signing() *signing {
	if st, ok := v.states.Get().(*signing); ok && slices.Equal(st.secrets, v.Secrets) {
		return st
	}
	return newSigning(slices.Clone(v.Secrets))
}

// keep keeps a state for the next call, unless a push with giant headers filled it.
func (v *Verifier) keep(st *signing) {
	const most = 64 << 10
	if cap(st.prefix) <= most {
		v.states.Put(st)
	}
}

func (v *Verifier) verifyOwn(m *message, st *signing, body []byte) error {
	if m.own == "" {
		return fmt.Errorf("%w: %s", ErrMissingHeader, HeaderOwnSignature)
	}
	signatures, err := parseSignatures(m.own)
	if err != nil {
		return fmt.Errorf("%w: %s", err, HeaderOwnSignature)
	}
	st.prefix = m.lines.append(st.prefix)
	if !v.matches(st, &signatures, st.hexDigest(body)) {
		return fmt.Errorf("%w: %s", ErrNoMatchingSignature, HeaderOwnSignature)
	}
	return nil
}

// matches reports whether one of the signatures is right.
func (v *Verifier) matches(st *signing, signatures *signatureList, content []byte) bool {
	if st.matches(signatures, content) {
		return true
	}
	if signatures.na == 0 || len(v.PublicKeys) == 0 {
		return false
	}
	// All of this is public: there is nothing that time could tell.
	message := st.message(content)
	for i := range v.PublicKeys {
		for j := range signatures.v1a[:signatures.na] {
			if ed25519.Verify(v.PublicKeys[i].key[:], message, signatures.v1a[j][:]) {
				return true
			}
		}
	}
	return false
}

// matches compares every signature with that of every secret, without an early
// end: the time does not tell which one was near.
func (st *signing) matches(signatures *signatureList, content []byte) bool {
	found := 0
	for i := range st.macs {
		want := st.mac(i, content)
		for j := range signatures.v1[:signatures.n] {
			found |= subtle.ConstantTimeCompare(signatures.v1[j][:], want)
		}
	}
	return found == 1
}

func (v *Verifier) checkTime(timestamp int64) error {
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	tolerance := v.Tolerance
	if tolerance <= 0 {
		tolerance = DefaultTolerance
	}
	signed, current := time.Unix(timestamp, 0), now()
	if current.Sub(signed) > tolerance {
		return ErrTimestampTooOld
	}
	if signed.Sub(current) > tolerance {
		return ErrTimestampTooNew
	}
	return nil
}

// message is what a request's headers say of its signatures.
type message struct {
	id, signature, own string
	timestamp          int64
	lines              headerLines
	few                [16]headerLine // the lines of an ordinary push
}

// readMessage reads the headers in one pass, whatever the case of their names:
// not every http.Header was filled by net/http.
func readMessage(header http.Header) (*message, error) {
	m, timestamp := &message{}, ""
	m.lines = m.few[:0]
	for key, values := range header {
		name := signedName(key)
		if name == "" {
			continue
		}
		if len(values) != 1 {
			return nil, fmt.Errorf("%w: %s", ErrDuplicateHeader, name)
		}
		var field *string
		switch name {
		case HeaderID:
			field = &m.id
		case HeaderTimestamp:
			field = &timestamp
		case HeaderSignature:
			field = &m.signature
		case HeaderOwnSignature:
			field = &m.own
		default:
			if len(m.lines) == maxOwnHeaders {
				return nil, fmt.Errorf("%w: too many %s* headers", ErrMalformedHeader, HeaderPrefix)
			}
			m.lines = append(m.lines, headerLine{name, strings.TrimSpace(values[0])})
			continue
		}
		if *field != "" {
			return nil, fmt.Errorf("%w: %s", ErrDuplicateHeader, name)
		}
		*field = values[0]
	}
	return m, m.check(timestamp)
}

// canonicalNames are those of a push in the form that net/http gives them.
var canonicalNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range [...]string{
		HeaderID, HeaderTimestamp, HeaderSignature, HeaderOwnSignature, HeaderAttempt, HeaderDeadline, HeaderEnqueuedAt, HeaderEpoch,
		HeaderIncarnation, HeaderJobType, HeaderKey, HeaderMaxAttempts, HeaderQueue, HeaderSchedule, HeaderScheduledFor,
		HeaderAttemptToken, HeaderCallbackURL, HeaderHeartbeatTimeout,
	} {
		names[http.CanonicalHeaderKey(name)] = name
	}
	return names
}()

// signedName returns the lower-case name of a header that matters here, or "".
func signedName(key string) string {
	if name, ok := canonicalNames[key]; ok {
		return name // without a copy
	}
	const prefix = "webhook-"
	if len(key) > len(HeaderPrefix) && strings.EqualFold(key[:len(HeaderPrefix)], HeaderPrefix) {
		return strings.ToLower(key)
	}
	if len(key) > len(prefix) && strings.EqualFold(key[:len(prefix)], prefix) {
		switch name := strings.ToLower(key); name {
		case HeaderID, HeaderTimestamp, HeaderSignature:
			return name
		}
	}
	return ""
}

func (m *message) check(timestamp string) error {
	for _, h := range [...]headerLine{{HeaderID, m.id}, {HeaderTimestamp, timestamp}, {HeaderSignature, m.signature}} {
		if h.value == "" {
			return fmt.Errorf("%w: %s", ErrMissingHeader, h.name)
		}
	}
	// With a dot in it, "<id>.<timestamp>.<body>" could be read in two ways.
	if len(m.id) > maxIDLength || strings.Contains(m.id, ".") {
		return fmt.Errorf("%w: %s", ErrMalformedHeader, HeaderID)
	}
	m.lines.sort()
	for i, l := range m.lines {
		if i > 0 && m.lines[i-1].name == l.name {
			return fmt.Errorf("%w: %s", ErrDuplicateHeader, l.name)
		}
		if strings.ContainsAny(l.value, "\r\n\x00") {
			return fmt.Errorf("%w: %s", ErrMalformedHeader, l.name)
		}
	}
	var err error
	m.timestamp, err = parseTimestamp(timestamp)
	return err
}

// parseTimestamp accepts the one decimal text of a positive number of at most
// 12 digits: what is signed is the text.
func parseTimestamp(text string) (int64, error) {
	const maxDigits = 12
	if text == "" || len(text) > maxDigits || text[0] < '1' || text[0] > '9' {
		return 0, ErrTimestampMalformed
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, ErrTimestampMalformed
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, ErrTimestampMalformed
	}
	return n, nil
}
