package webhook

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	privateKeyPrefix   = "whsk_"
	publicKeyPrefix    = "whpk_"
	redactedPrivateKey = privateKeyPrefix + "[redacted]"
)

// The errors of texts that are not keys. They do not contain the text.
var (
	ErrInvalidPrivateKey = errors.New(`webhook: not a private key: want "whsk_" and the base64 of an ed25519 key, 64 bytes or its seed of 32`)
	ErrInvalidPublicKey  = errors.New(`webhook: not a public key: want "whpk_" and the base64 of 32 bytes`)
)

// PrivateKey is an ed25519 key that a push is signed with beside a Secret:
// whoever has its PublicKey can verify a push, and cannot make one.
//
// Like a Secret it does not leak by accident; Reveal is the one way to its text.
// The zero PrivateKey is invalid. Keys may be used concurrently.
type PrivateKey struct{ key *string } // a pointer for the reason Secret has one

// NewPrivateKey returns a new key from crypto/rand.
func NewPrivateKey() PrivateKey {
	var seed [ed25519.SeedSize]byte
	rand.Read(seed[:]) // never fails since Go 1.24
	return makePrivateKey(ed25519.NewKeyFromSeed(seed[:]))
}

func makePrivateKey(key ed25519.PrivateKey) PrivateKey {
	text := string(key)
	return PrivateKey{&text}
}

// ParsePrivateKey reads the text that Reveal returns: "whsk_" and the base64 of
// the seed and the public key, 64 bytes. The seed alone is accepted too. It fails
// with ErrInvalidPrivateKey, also where the two halves do not belong together.
func ParsePrivateKey(text string) (PrivateKey, error) {
	raw, ok := decodeKey(text, privateKeyPrefix, ed25519.PrivateKeySize)
	if !ok || len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return PrivateKey{}, ErrInvalidPrivateKey
	}
	key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !bytes.Equal(key, raw) {
		return PrivateKey{}, ErrInvalidPrivateKey
	}
	return makePrivateKey(key), nil
}

func decodeKey(text, prefix string, longest int) ([]byte, bool) {
	encoded, ok := strings.CutPrefix(text, prefix)
	if !ok || len(encoded) > base64.StdEncoding.EncodedLen(longest) || strings.ContainsAny(encoded, "\r\n") {
		return nil, false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return raw, err == nil
}

// raw returns the key; nil for the zero PrivateKey.
func (k PrivateKey) raw() ed25519.PrivateKey {
	if k.key == nil {
		return nil
	}
	return ed25519.PrivateKey(*k.key)
}

// Public returns the key that verifies what k signs.
func (k PrivateKey) Public() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	var p PublicKey
	p.set = true
	copy(p.key[:], k.raw()[ed25519.SeedSize:])
	return p
}

// Reveal returns the key's text, for the one who stores it.
func (k PrivateKey) Reveal() string {
	if k.IsZero() {
		return ""
	}
	return privateKeyPrefix + base64.StdEncoding.EncodeToString(k.raw())
}

// IsZero reports whether the key is unset.
func (k PrivateKey) IsZero() bool { return k.key == nil }

// String returns a text that does not hold the key.
func (k PrivateKey) String() string { return redactedPrivateKey }

// Format implements fmt.Formatter, so that no verb shows the key.
func (k PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, redactedPrivateKey) }

// LogValue implements slog.LogValuer.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(redactedPrivateKey) }

// MarshalText always fails: who writes a key down says so, with Reveal.
func (k PrivateKey) MarshalText() ([]byte, error) {
	return nil, errors.New("webhook: a PrivateKey is not marshalled; call Reveal")
}

// PublicKey verifies what the PrivateKey of the same pair signed. It is no
// secret. The zero PublicKey is invalid; others may be compared with ==.
type PublicKey struct {
	key [ed25519.PublicKeySize]byte
	set bool
}

// ParsePublicKey reads "whpk_" and the base64 of 32 bytes, or fails with
// ErrInvalidPublicKey.
func ParsePublicKey(text string) (PublicKey, error) {
	raw, ok := decodeKey(text, publicKeyPrefix, ed25519.PublicKeySize)
	if !ok || len(raw) != ed25519.PublicKeySize {
		return PublicKey{}, ErrInvalidPublicKey
	}
	p := PublicKey{set: true}
	copy(p.key[:], raw)
	return p, nil
}

// IsZero reports whether the key is unset.
func (p PublicKey) IsZero() bool { return !p.set }

// String returns the key's text; "" for the zero PublicKey.
func (p PublicKey) String() string {
	if p.IsZero() {
		return ""
	}
	return publicKeyPrefix + base64.StdEncoding.EncodeToString(p.key[:])
}
