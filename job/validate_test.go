package job_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

// The rules as DESIGN and the documentation write them, to hold the code
// against.
var (
	nameRule     = regexp.MustCompile(`\A[a-z0-9][a-z0-9._-]{0,127}\z`)
	typeRule     = regexp.MustCompile(`\A[A-Za-z0-9._/:-]{1,128}\z`)
	labelKeyRule = regexp.MustCompile(`\A[a-zA-Z0-9][a-zA-Z0-9._/-]{0,62}\z`)
)

// drawText draws what is near the rules: hostile characters among allowed ones.
func drawText(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.StringOfN(rapid.RuneFrom([]rune("az09AZ._-/: \x00\x1f\x7f\u0085\u00a0é💥\u202e\n")), 0, 300, -1),
		rapid.StringOfN(rapid.RuneFrom([]rune("az09._-")), 0, 130, -1),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }),
	).Draw(t, label)
}

func TestRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawText(t, "text")
		if got, want := job.ValidName(s), nameRule.MatchString(s); got != want {
			t.Errorf("ValidName(%q) = %t", s, got)
		}
		if got := job.CheckName(s); (got == "") != job.ValidName(s) {
			t.Errorf("CheckName(%q) = %q", s, got)
		}
		if got, want := job.CheckType(s), typeRule.MatchString(s); (got == "") != want {
			t.Errorf("CheckType(%q) = %q", s, got)
		}
		if _, got := job.CheckLabels(map[string]string{s: "v"}); (got == "") != labelKeyRule.MatchString(s) {
			t.Errorf("CheckLabels of key %q = %q", s, got)
		}
		if job.CheckIdempotencyKey(s) == "" && job.CheckKey(s) != "" {
			t.Errorf("%q may be an idempotency key but not a key", s)
		}
		if job.CheckKey(s) == "" && (!utf8.ValidString(s) || s == "" || len(s) > 256 || strings.ContainsAny(s, "\x00\r\n\t\x7f\u0085")) {
			t.Errorf("CheckKey lets %q pass", s)
		}
	})
}

func TestChecks(t *testing.T) {
	t.Parallel()
	name := map[string]bool{
		"default": true, "0": true, "a.b_c-d": true, "billing.invoices": true, strings.Repeat("a", 128): true,
		"": false, strings.Repeat("a", 129): false, strings.Repeat("a", 10<<10): false, ".a": false, "-a": false, "_a": false,
		"A": false, "a b": false, "a/b": false, "a:b": false, "a\n": false, "a\x00": false, "é": false, "\xff": false, "а": false, // Cyrillic
	}
	key := map[string]bool{
		"a": true, "Tenant 42": true, "größe": true, "日本": true, "💥": true, strings.Repeat("é", 128): true,
		"": false, strings.Repeat("é", 129): false, strings.Repeat("a", 257): false, "a\x00b": false, "a\nb": false, "a\rb": false,
		"a\tb": false, "\x7f": false, "\u0085": false, "\u009f": false, "\xff": false, "a\xc3": false, " a": false, "a ": false, "\u00a0": false, " ": false,
	}
	typ := map[string]bool{
		"email.send": true, "Invoice": true, "a/b:c-d_e": true, ":": true, strings.Repeat("a", 128): true,
		"": false, strings.Repeat("a", 129): false, "a b": false, "a\n": false, "é": false, "a\x00": false, "a\\b": false, "\xff": false,
	}
	idempotency := map[string]bool{
		"a": true, "order 42": true, "größe": true, strings.Repeat("a", 256): true, "e\u0301": true, // a combining accent
		"": false, strings.Repeat("a", 257): false, " a": false, "a ": false, "a\u00a0b": false, "a\u2028b": false, "a\u202eb": false,
		"a\u200bb": false, "\ufeffa": false, "a\nb": false, "a\x00": false, "\xff": false, " ": false,
	}
	for _, check := range []struct {
		name  string
		check func(string) string
		texts map[string]bool
	}{
		{"CheckName", job.CheckName, name},
		{"CheckKey", job.CheckKey, key},
		{"CheckType", job.CheckType, typ},
		{"CheckIdempotencyKey", job.CheckIdempotencyKey, idempotency},
	} {
		for text, allowed := range check.texts {
			msg := check.check(text)
			if (msg == "") != allowed {
				t.Errorf("%s(%q) = %q, want allowed to be %t", check.name, text, msg, allowed)
			}
			if msg != "" && !strings.HasPrefix(msg, "must ") {
				t.Errorf("%s(%q) = %q: does not say what would be right", check.name, text, msg)
			}
		}
	}
}

func TestCheckLabels(t *testing.T) {
	t.Parallel()
	many := func(n int) map[string]string {
		labels := make(map[string]string)
		for i := range n {
			labels[fmt.Sprintf("k%d", i)] = "v"
		}
		return labels
	}
	tests := []struct {
		name   string
		labels map[string]string
		field  string
		msg    string // a part of it
	}{
		{"none", nil, "", ""},
		{"key not ASCII", map[string]string{"team": "billing", "Größe": "1"}, "", "must have keys"},
		{"allowed", map[string]string{"team": "billing", "app.kubernetes.io/name": "größer", "empty": ""}, "", ""},
		{"bounds", map[string]string{strings.Repeat("k", 63): strings.Repeat("v", 256)}, "", ""},
		{"32", many(32), "", ""},
		{"33", many(33), "", "at most 32"},
		{"long key", map[string]string{strings.Repeat("k", 64): ""}, "", "must have keys"},
		{"empty key", map[string]string{"": "v"}, "", "must have keys"},
		{"key begins with a dot", map[string]string{".k": "v"}, "", "must have keys"},
		{"colon in key", map[string]string{"k:v": "v"}, "", "must have keys"},
		{"long value", map[string]string{"k": strings.Repeat("v", 257)}, "k", "256 bytes"},
		{"value not UTF-8", map[string]string{"k": "\xff"}, "k", "UTF-8"},
		{"control in value", map[string]string{"k": "a\x00"}, "k", "control"},
		{"lowest of several", map[string]string{"c": "\x00", "b": "\x00", "a": "fine", "d": "\xff"}, "b", "control"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			field, msg := job.CheckLabels(tt.labels)
			if field != tt.field || (msg == "") != (tt.msg == "") || !strings.Contains(msg, tt.msg) {
				t.Errorf("CheckLabels = %q, %q; want %q and a message with %q", field, msg, tt.field, tt.msg)
			}
		})
	}
}

// A message is shown to whoever sent the text, and logged: it must not carry
// the text along.
func TestMessagesDoNotRepeatTheText(t *testing.T) {
	t.Parallel()
	hostile := strings.Repeat("<script>\r\n", 1000)
	_, labels := job.CheckLabels(map[string]string{hostile: hostile})
	for _, msg := range []string{
		job.CheckName(hostile), job.CheckKey(hostile), job.CheckType(hostile), job.CheckIdempotencyKey(hostile), labels,
	} {
		if msg == "" || len(msg) > 200 || strings.Contains(msg, "script") {
			t.Errorf("message %.200q", msg)
		}
	}
}
