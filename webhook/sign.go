package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrNoSecret is returned where at least one secret is needed and there is
// none, or where one is the zero Secret.
var ErrNoSecret = errors.New("webhook: no signing secret")

// The schemes that begin a signature: HMAC-SHA256, and ed25519.
const (
	schemeV1  = "v1,"
	schemeV1a = "v1a,"
)

// Signer signs with a fixed list of secrets, usually one, and two or more while
// a secret rotates; and with ed25519 keys where it was given some. It may be used
// concurrently and keeps the prepared HMAC states of its secrets, so that signing
// with them allocates nothing.
type Signer struct {
	states  sync.Pool
	secrets []Secret
}

// NewSigner returns a signer for these secrets; signatures come in their order.
// It fails with ErrNoSecret.
func NewSigner(secrets ...Secret) (*Signer, error) {
	if len(secrets) == 0 || slices.ContainsFunc(secrets, Secret.IsZero) {
		return nil, ErrNoSecret
	}
	return signerOf(slices.Clone(secrets), nil), nil
}

func signerOf(secrets []Secret, keys []ed25519.PrivateKey) *Signer {
	s := &Signer{secrets: secrets}
	s.states.New = func() any {
		st := newSigning(secrets)
		st.keys = keys
		return st
	}
	return s
}

// WithKeys returns a signer for the same secrets and these keys, whose signatures
// follow those of the secrets. It fails with ErrNoSecret where a key is unset.
func (s *Signer) WithKeys(keys ...PrivateKey) (*Signer, error) {
	raw := make([]ed25519.PrivateKey, len(keys))
	for i, k := range keys {
		if raw[i] = k.raw(); raw[i] == nil {
			return nil, ErrNoSecret
		}
	}
	return signerOf(s.secrets, raw), nil
}

// AppendSignature appends the value of webhook-signature: for each secret "v1,"
// and the base64 of the HMAC-SHA256 over "<id>.<timestamp>.<body>", and for each
// key "v1a," and the base64 of the ed25519 signature of the same, separated by
// spaces. timestamp is in seconds since the Unix epoch.
func (s *Signer) AppendSignature(dst []byte, id string, timestamp int64, body []byte) []byte {
	st := s.states.Get().(*signing)
	defer s.states.Put(st)
	st.begin(id, timestamp)
	return st.append(dst, body)
}

// AppendOwnSignature appends the value of orchestrix-signature: the same
// schemes over "<id>.<timestamp>.", the lines, and the hex SHA-256 of the body.
//
// lines holds each orchestrix-* header but the signature itself as
// "name:value\n", names in lower case and sorted, values without spaces around
// them.
func (s *Signer) AppendOwnSignature(dst []byte, id string, timestamp int64, lines, body []byte) []byte {
	st := s.states.Get().(*signing)
	defer s.states.Put(st)
	st.begin(id, timestamp)
	st.prefix = append(st.prefix, lines...)
	return st.append(dst, st.hexDigest(body))
}

// Sign sets webhook-id, webhook-timestamp, webhook-signature and
// orchestrix-signature in h, the last over the orchestrix-* headers that h
// holds by then: call it when all others are set. Where a name has several
// values, which no verifier accepts, it signs the first and drops the others.
func (s *Signer) Sign(h http.Header, id string, at time.Time, body []byte) {
	lines := takeOwnHeaders(h)
	for _, l := range lines {
		h.Set(l.name, l.value)
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(HeaderSignature, string(s.AppendSignature(nil, id, at.Unix(), body)))
	h.Set(HeaderOwnSignature, string(s.AppendOwnSignature(nil, id, at.Unix(), lines.canonical(), body)))
}

// takeOwnHeaders removes the orchestrix-* headers from h, whatever the case of
// their names, and returns those to be signed.
func takeOwnHeaders(h http.Header) (lines headerLines) {
	for key, values := range h {
		name := strings.ToLower(key)
		if !strings.HasPrefix(name, HeaderPrefix) {
			continue
		}
		delete(h, key)
		isNamed := func(l headerLine) bool { return l.name == name }
		if name != HeaderOwnSignature && len(values) > 0 && !slices.ContainsFunc(lines, isNamed) {
			lines = append(lines, headerLine{name, strings.TrimSpace(values[0])})
		}
	}
	return lines
}

// headerLines are the orchestrix-* headers that a signature covers.
type headerLines []headerLine

type headerLine struct{ name, value string }

// canonical sorts the lines and returns them as they are signed.
func (l headerLines) canonical() []byte {
	l.sort()
	return l.append(nil)
}

func (l headerLines) sort() {
	slices.SortFunc(l, func(a, b headerLine) int { return strings.Compare(a.name, b.name) })
}

// append appends the lines, which are sorted, as they are signed.
func (l headerLines) append(out []byte) []byte {
	for _, h := range l {
		out = append(out, h.name...)
		out = append(out, ':')
		out = append(out, h.value...)
		out = append(out, '\n')
	}
	return out
}

// signing is the reusable state of one signature: an HMAC per secret, whose
// Reset restores the state after the padded key rather than hashing it again.
type signing struct {
	secrets []Secret
	macs    []hash.Hash
	keys    []ed25519.PrivateKey
	digest  hash.Hash
	prefix  []byte // what is signed before the body
	sum     []byte
	whole   []byte // prefix and content, which ed25519 wants in one piece
}

func newSigning(secrets []Secret) *signing {
	st := &signing{secrets: secrets, digest: sha256.New(), sum: make([]byte, 0, 2*sha256.Size)}
	for _, s := range secrets {
		st.macs = append(st.macs, hmac.New(sha256.New, s.raw()))
	}
	return st
}

func (st *signing) begin(id string, timestamp int64) {
	st.prefix = append(st.prefix[:0], id...)
	st.prefix = append(st.prefix, '.')
	st.prefix = strconv.AppendInt(st.prefix, timestamp, 10)
	st.prefix = append(st.prefix, '.')
}

// hexDigest returns the hex SHA-256 of body, valid until the next signature.
func (st *signing) hexDigest(body []byte) []byte {
	st.digest.Reset()
	st.digest.Write(body)
	var digest [sha256.Size]byte
	copy(digest[:], st.digest.Sum(st.sum[:0]))
	start := len(st.prefix)
	st.prefix = hex.AppendEncode(st.prefix, digest[:])
	tail := st.prefix[start:]
	st.prefix = st.prefix[:start]
	return tail
}

func (st *signing) append(dst, content []byte) []byte {
	for i := range st.macs {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, schemeV1...)
		dst = base64.StdEncoding.AppendEncode(dst, st.mac(i, content))
	}
	if len(st.keys) == 0 {
		return dst
	}
	message := st.message(content)
	for _, k := range st.keys {
		dst = append(dst, " "+schemeV1a...)
		dst = base64.StdEncoding.AppendEncode(dst, ed25519.Sign(k, message))
	}
	return dst
}

// message returns what is signed in one piece. A large one is not kept.
func (st *signing) message(content []byte) []byte {
	const kept = 64 << 10
	message := append(append(st.whole[:0], st.prefix...), content...)
	if cap(message) <= kept {
		st.whole = message
	}
	return message
}

// mac returns the HMAC under secret i over the prefix and the content, valid
// until the next one.
func (st *signing) mac(i int, content []byte) []byte {
	m := st.macs[i]
	m.Reset()
	m.Write(st.prefix)
	m.Write(content)
	return m.Sum(st.sum[:0])
}
