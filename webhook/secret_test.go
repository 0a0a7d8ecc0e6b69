package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func encodedKey(n int) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xa7}, n))
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"shortest":      {"whsec_" + encodedKey(24), true},
		"longest":       {"whsec_" + encodedKey(64), true},
		"of the spec":   {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true},
		"too short":     {"whsec_" + encodedKey(23), false},
		"too long":      {"whsec_" + encodedKey(65), false},
		"huge":          {"whsec_" + strings.Repeat("A", 1<<20), false},
		"empty":         {"", false},
		"prefix only":   {"whsec_", false},
		"no prefix":     {encodedKey(32), false},
		"upper prefix":  {"WHSEC_" + encodedKey(32), false},
		"asymmetric":    {"whsk_" + encodedKey(32), false},
		"unpadded":      {"whsec_" + strings.TrimRight(encodedKey(32), "="), false},
		"line break":    {"whsec_" + encodedKey(24) + "\n", false},
		"url alphabet":  {"whsec_" + strings.Repeat("-_-_", 8), false},
		"loose padding": {"whsec_" + encodedKey(32)[:42] + "d=", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := ParseSecret(c.text)
			switch {
			case c.ok && (err != nil || s.Reveal() != c.text):
				t.Errorf("got %q, %v; want it back", s.Reveal(), err)
			case !c.ok && (!errors.Is(err, ErrInvalidSecret) || !s.IsZero()):
				t.Errorf("got %v, %v; want ErrInvalidSecret", s, err)
			case !c.ok && len(c.text) > 8 && strings.Contains(err.Error(), c.text):
				t.Error("the error holds the secret")
			}
		})
	}
}

func TestNewSecretIsRandomAndParses(t *testing.T) {
	t.Parallel()
	a, b := NewSecret(), NewSecret()
	if a.Equal(b) {
		t.Error("two new secrets are equal")
	}
	parsed, err := ParseSecret(a.Reveal())
	if err != nil || !parsed.Equal(a) {
		t.Errorf("got %v, want the same secret", err)
	}
}

// No way of printing shows the key, nor the base64 of it.
func TestSecretDoesNotLeak(t *testing.T) {
	t.Parallel()
	s := NewSecret()
	hidden := []string{*s.key, strings.TrimPrefix(s.Reveal(), secretPrefix), fmt.Sprintf("%x", s.raw())}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		fmt.Fprintf(&out, verb+verb+verb, s, &s, struct{ S Secret }{s})
	}
	out.WriteString(s.String())
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", s, "in", []any{s})
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", s, "pointer", &s)
	for _, h := range hidden {
		if strings.Contains(out.String(), h) {
			t.Fatalf("the secret is in %q", out.String())
		}
	}
	if (Secret{}).Reveal() != "" || (Secret{}).Equal(s) || !(Secret{}).Equal(Secret{}) {
		t.Error("the zero Secret has a text, or equals another")
	}
	if _, err := json.Marshal(s); err == nil {
		t.Error("a secret was marshalled")
	}
}
