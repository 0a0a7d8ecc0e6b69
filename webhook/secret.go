package webhook

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Secret is a key that a push is signed with. Its text is "whsec_" and the
// base64 of MinSecretBytes to MaxSecretBytes random bytes, as in Standard
// Webhooks.
//
// A Secret does not leak by accident: however it is printed or logged it shows
// as "whsec_[redacted]", and marshalling it is an error. Reveal is the one way
// to its text. The zero Secret is invalid. Secrets may be used concurrently;
// compare them with Equal, not with ==.
type Secret struct {
	// A pointer, since %p does not ask a Formatter but prints the fields.
	key *string
}

// The bounds of a secret's key in bytes, by Standard Webhooks 1.0.
const (
	MinSecretBytes = 24
	MaxSecretBytes = 64
)

const (
	secretPrefix   = "whsec_"
	redactedSecret = secretPrefix + "[redacted]"
)

// ErrInvalidSecret is returned for a text that is not a secret. It does not
// contain the text.
var ErrInvalidSecret = errors.New(`webhook: not a signing secret: want "whsec_" and the base64 of 24 to 64 bytes`)

// NewSecret returns a new secret of 32 bytes from crypto/rand.
func NewSecret() Secret {
	var key [32]byte
	rand.Read(key[:]) // never fails since Go 1.24
	return makeSecret(key[:])
}

func makeSecret(key []byte) Secret {
	text := string(key)
	return Secret{&text}
}

// raw returns the key; nil for the zero Secret.
func (s Secret) raw() []byte {
	if s.key == nil {
		return nil
	}
	return []byte(*s.key)
}

// ParseSecret reads the text that Reveal returns, or fails with
// ErrInvalidSecret. The base64 is the standard one, padded, without line
// breaks, so that every secret has one text.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || len(encoded) > base64.StdEncoding.EncodedLen(MaxSecretBytes) || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, ErrInvalidSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) < MinSecretBytes || len(key) > MaxSecretBytes {
		return Secret{}, ErrInvalidSecret
	}
	return makeSecret(key), nil
}

// Reveal returns the secret's text, for the one who stores it or is told it.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.raw())
}

// IsZero reports whether the secret is unset.
func (s Secret) IsZero() bool { return s.key == nil }

// Equal compares two secrets in a time that does not depend on their bytes.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.raw(), other.raw()) == 1
}

// String returns a text that does not hold the key.
func (s Secret) String() string { return redactedSecret }

// Format implements fmt.Formatter, so that no verb shows the key.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redactedSecret) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redactedSecret) }

// MarshalText always fails: who writes a secret down says so, with Reveal.
func (s Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("webhook: a Secret is not marshalled; call Reveal")
}
