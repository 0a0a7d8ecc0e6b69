package webhook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// keyPush is a push that is signed with a secret and with keys.
func keyPush(t testing.TB, secret Secret, keys ...PrivateKey) http.Header {
	t.Helper()
	s, err := newSigner(t, secret).WithKeys(keys...)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set(HeaderJobType, "invoice.created")
	h.Set(HeaderAttempt, "3")
	s.Sign(h, "job_1", signedAt, payload)
	return h
}

func keyVerifier(keys ...PublicKey) *Verifier {
	return &Verifier{PublicKeys: keys, Now: func() time.Time { return signedAt }}
}

// The first test vector of RFC 8032, section 7.1.
func TestKeyOfRFC8032(t *testing.T) {
	t.Parallel()
	seed, _ := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	public, _ := hex.DecodeString("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	for _, raw := range [][]byte{seed, append(append([]byte{}, seed...), public...)} {
		k, err := ParsePrivateKey("whsk_" + base64.StdEncoding.EncodeToString(raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Public().String(); got != "whpk_"+base64.StdEncoding.EncodeToString(public) {
			t.Errorf("public key %s", got)
		}
	}
}

// TestKeySignsWhatTheStandardSays: both headers hold an ed25519 signature that
// crypto/ed25519 verifies over bytes put together here by hand.
func TestKeySignsWhatTheStandardSays(t *testing.T) {
	t.Parallel()
	key, secret := NewPrivateKey(), NewSecret()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.Public().String(), "whpk_"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(payload)
	for name, message := range map[string]string{
		HeaderSignature:    fmt.Sprintf("job_1.%d.%s", signedAt.Unix(), payload),
		HeaderOwnSignature: fmt.Sprintf("job_1.%d.orchestrix-attempt:3\norchestrix-job-type:invoice.created\n%x", signedAt.Unix(), digest),
	} {
		fields := strings.Fields(keyPush(t, secret, key).Get(name))
		if len(fields) != 2 || !strings.HasPrefix(fields[0], "v1,") || !strings.HasPrefix(fields[1], "v1a,") {
			t.Fatalf("%s: %q", name, fields)
		}
		signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "v1a,"))
		if err != nil || !ed25519.Verify(raw, []byte(message), signature) {
			t.Errorf("%s: does not verify, %v", name, err)
		}
	}
}

// The official library, which knows v1 only, is not disturbed.
func TestOfficialLibrarySkipsKeySignatures(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	if err := oracle(t, secret).VerifyIgnoringTimestamp(payload, keyPush(t, secret, NewPrivateKey())); err != nil {
		t.Error(err)
	}
}

func TestVerifyByPublicKey(t *testing.T) {
	t.Parallel()
	secret, key, other := NewSecret(), NewPrivateKey(), NewPrivateKey()
	only := func(name string) func(http.Header) { // the HMAC of one header stays alone
		return func(h http.Header) { h.Set(name, strings.Fields(h.Get(name))[0]) }
	}
	garbage := " v1a," + base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
	for name, c := range map[string]struct {
		signed []PrivateKey
		change func(http.Header)
		verify *Verifier
		want   error
	}{
		"the key":            {[]PrivateKey{key}, nil, keyVerifier(key.Public()), nil},
		"while it rotates":   {[]PrivateKey{other, key}, nil, keyVerifier(key.Public()), nil},
		"two accepted":       {[]PrivateKey{key}, nil, keyVerifier(other.Public(), key.Public()), nil},
		"another key":        {[]PrivateKey{other}, nil, keyVerifier(key.Public()), ErrNoMatchingSignature},
		"secret only":        {nil, nil, keyVerifier(key.Public()), ErrNoMatchingSignature},
		"no key signed it":   {[]PrivateKey{key}, only(HeaderSignature), keyVerifier(key.Public()), ErrNoMatchingSignature},
		"nor the headers":    {[]PrivateKey{key}, only(HeaderOwnSignature), keyVerifier(key.Public()), ErrNoMatchingSignature},
		"either":             {[]PrivateKey{other}, nil, &Verifier{Secrets: []Secret{secret}, PublicKeys: []PublicKey{key.Public()}, Now: func() time.Time { return signedAt }}, nil},
		"changed header":     {[]PrivateKey{key}, func(h http.Header) { h.Set(HeaderAttempt, "4") }, keyVerifier(key.Public()), ErrNoMatchingSignature},
		"the zero key":       {[]PrivateKey{key}, nil, keyVerifier(PublicKey{}), ErrNoSecret},
		"some garbage first": {[]PrivateKey{key}, func(h http.Header) { h.Set(HeaderSignature, garbage+" "+h.Get(HeaderSignature)) }, keyVerifier(key.Public()), nil},
		"too much of it": {[]PrivateKey{key}, func(h http.Header) {
			h.Set(HeaderSignature, strings.Repeat(garbage, maxKeySignatures)+" "+h.Get(HeaderSignature))
		}, keyVerifier(key.Public()), ErrNoMatchingSignature},
	} {
		h := keyPush(t, secret, c.signed...)
		if c.change != nil {
			c.change(h)
		}
		if err := c.verify.Verify(h, payload); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// Whatever is signed verifies, and no changed byte does.
func TestKeyProperties(t *testing.T) {
	t.Parallel()
	key, secret := NewPrivateKey(), NewSecret()
	s, err := newSigner(t, secret).WithKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "body")
		h := http.Header{}
		h.Set(HeaderQueue, EncodeValue(rapid.String().Draw(t, "queue")))
		s.Sign(h, "job_1", signedAt, body)
		v := keyVerifier(key.Public())
		if err := v.Verify(h, body); err != nil {
			t.Fatal(err)
		}
		body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if err := v.Verify(h, body); !errors.Is(err, ErrNoMatchingSignature) {
			t.Fatalf("a changed body: %v", err)
		}
	})
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	key := NewPrivateKey()
	again, err := ParsePrivateKey(key.Reveal())
	if err != nil || again.Reveal() != key.Reveal() || again.Public() != key.Public() {
		t.Errorf("private key: %v", err)
	}
	if public, err := ParsePublicKey(key.Public().String()); err != nil || public != key.Public() {
		t.Errorf("public key: %v", err)
	}
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.Reveal(), "whsk_"))
	raw[40] ^= 1 // its public half
	for _, text := range []string{
		"", "whsk_", strings.TrimPrefix(key.Reveal(), "whsk_"), key.Public().String(), key.Reveal() + "A", key.Reveal()[:50], key.Reveal() + "\n",
		"whsk_" + base64.StdEncoding.EncodeToString(raw), "whsk_" + base64.StdEncoding.EncodeToString(raw[:33]), "whsk_" + strings.Repeat("A", 1<<20),
	} {
		if _, err := ParsePrivateKey(text); !errors.Is(err, ErrInvalidPrivateKey) {
			t.Errorf("%.60q is accepted as a private key: %v", text, err)
		}
	}
	for _, text := range []string{"", "whpk_", key.Reveal(), "whpk_" + base64.StdEncoding.EncodeToString(raw), key.Public().String()[:40]} {
		if _, err := ParsePublicKey(text); !errors.Is(err, ErrInvalidPublicKey) {
			t.Errorf("%.60q is accepted as a public key: %v", text, err)
		}
	}
	if _, err := newSigner(t, NewSecret()).WithKeys(PrivateKey{}); !errors.Is(err, ErrNoSecret) {
		t.Errorf("the zero key signs: %v", err)
	}
	if (PrivateKey{}).Reveal() != "" || !(PrivateKey{}).Public().IsZero() || (PublicKey{}).String() != "" {
		t.Error("zero keys have a text")
	}
}

func TestPrivateKeyDoesNotLeak(t *testing.T) {
	t.Parallel()
	key := NewPrivateKey()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key)
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %d %p", key, key, key, key, key, key, key, key) + fmt.Sprint(key.String(), []PrivateKey{key}, &key) + log.String()
	if text := strings.ReplaceAll(shown, redactedPrivateKey, ""); strings.Contains(text, "whsk_") || len(text) > 200 {
		t.Errorf("shown as %s", shown)
	}
	if _, err := json.Marshal(key); err == nil {
		t.Error("a private key was marshalled")
	}
}

func BenchmarkKeySign(b *testing.B) {
	s, err := newSigner(b, NewSecret()).WithKeys(NewPrivateKey())
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = s.AppendSignature(dst[:0], "job_1", signedAt.Unix(), payload)
	}
}

// What a hostile header costs a verifier of two keys.
func BenchmarkKeyVerifyHostile(b *testing.B) {
	h := keyPush(b, NewSecret(), NewPrivateKey())
	h.Set(HeaderSignature, strings.Repeat("v1a,"+base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))+" ", MaxSignatures))
	v := keyVerifier(NewPrivateKey().Public(), NewPrivateKey().Public())
	b.ReportAllocs()
	for b.Loop() {
		if v.Verify(h, payload) == nil {
			b.Fatal("verified")
		}
	}
}
