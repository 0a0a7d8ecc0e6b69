package job

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what a client may write, in bytes unless said otherwise.
const (
	MaxNameLength           = 128
	MaxKeyLength            = 256
	MaxTypeLength           = 128
	MaxLabels               = 32 // labels on one job
	MaxLabelKeyLength       = 63
	MaxLabelValueLength     = 256
	MaxIdempotencyKeyLength = 256
)

// The Check functions return "" where the text is allowed, and else the
// sentence that says what would be right, to stand behind a field's name in a
// problem. They never repeat the text: it may be long, or hostile.

// ValidName reports whether s may name a queue, worker or schedule:
// [a-z0-9][a-z0-9._-]{0,127}.
func ValidName(s string) bool {
	return s != "" && len(s) <= MaxNameLength && isLowerOrDigit(s[0]) && onlyBytes(s, isNameByte)
}

// CheckName returns what a name of a queue, worker or schedule must be where s
// is not one, and "" where it is.
func CheckName(s string) string {
	if ValidName(s) {
		return ""
	}
	return fmt.Sprintf("must be 1 to %d characters of a-z, 0-9 and . _ -, the first a letter or digit", MaxNameLength)
}

// CheckKey returns what a job's key must be where s is not one, and "" where it
// is: UTF-8 of 1 to 256 bytes without control characters, and without a space at
// either end. A job without a key has none to check.
func CheckKey(s string) string {
	if msg := checkText(s, 1, MaxKeyLength); msg != "" {
		return msg
	}
	return checkEnds(s)
}

// CheckType returns what a job's type must be where s is not one, and "" where
// it is: 1 to 128 bytes of letters, digits and . _ - / :
func CheckType(s string) string {
	if s != "" && len(s) <= MaxTypeLength && onlyBytes(s, isTypeByte) {
		return ""
	}
	return fmt.Sprintf("must be 1 to %d characters of A-Z, a-z, 0-9 and . _ - / :", MaxTypeLength)
}

// CheckLabels returns the first thing wrong with a job's labels: the path below
// the labels that it is about (the label's key, or "" where it is about all of
// them or the key itself cannot be shown) and what would be right. Both are ""
// where nothing is wrong. At most 32 labels are allowed; a key is
// [a-zA-Z0-9][a-zA-Z0-9._/-]{0,62}, a value UTF-8 of at most 256 bytes without
// control characters. Of several wrong labels it names the lowest key.
func CheckLabels(labels map[string]string) (field, msg string) {
	if len(labels) > MaxLabels {
		return "", fmt.Sprintf("must have at most %d entries", MaxLabels)
	}
	keys := make([]string, 0, len(labels))
	for k := range labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !validLabelKey(k) {
			return "", fmt.Sprintf("must have keys of 1 to %d characters of A-Z, a-z, 0-9 and . _ / -, the first a letter or digit", MaxLabelKeyLength)
		}
		if msg := checkText(labels[k], 0, MaxLabelValueLength); msg != "" {
			return k, msg
		}
	}
	return "", ""
}

// CheckIdempotencyKey returns what an idempotency key must be where s is not
// one, and "" where it is: UTF-8 of 1 to 256 bytes of visible characters and
// inner spaces.
func CheckIdempotencyKey(s string) string {
	if msg := checkText(s, 1, MaxIdempotencyKeyLength); msg != "" {
		return msg
	}
	if !allRunes(s, isVisible) {
		return "must have visible characters and plain spaces only"
	}
	return checkEnds(s)
}

// checkEnds is for what travels in a header: there outer spaces are lost, which
// would make it another key and break the signature over it.
func checkEnds(s string) string {
	if strings.TrimSpace(s) != s {
		return "must not begin or end with a space"
	}
	return ""
}

// checkText is for free text that is stored as a key, sent as a header and
// shown in a terminal: a control character would break one of them.
func checkText(s string, atLeast, atMost int) string {
	switch {
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case len(s) < atLeast || len(s) > atMost:
		return fmt.Sprintf("must be %d to %d bytes long", atLeast, atMost)
	case !allRunes(s, isNotControl):
		return "must not contain control characters"
	}
	return ""
}

func validLabelKey(s string) bool {
	return s != "" && len(s) <= MaxLabelKeyLength && isLetterOrDigit(s[0]) && onlyBytes(s, isLabelByte)
}

func isLowerOrDigit(c byte) bool  { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
func isLetterOrDigit(c byte) bool { return isLowerOrDigit(c) || 'A' <= c && c <= 'Z' }
func isNameByte(c byte) bool      { return isLowerOrDigit(c) || c == '.' || c == '_' || c == '-' }
func isLabelByte(c byte) bool {
	return isLetterOrDigit(c) || c == '.' || c == '_' || c == '/' || c == '-'
}
func isTypeByte(c byte) bool { return isLabelByte(c) || c == ':' }

func isNotControl(r rune) bool { return !unicode.IsControl(r) }
func isVisible(r rune) bool    { return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) }

func onlyBytes(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func allRunes(s string, allowed func(rune) bool) bool {
	for _, r := range s {
		if !allowed(r) {
			return false
		}
	}
	return true
}
