package webhook

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestEncodeValue(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":              "",
		"tenant-1":      "tenant-1",
		"a b":           "a%20b",
		"100%":          "100%25",
		"größe":         "gr%C3%B6%C3%9Fe",
		"x\r\nevil: 1":  "x%0D%0Aevil:%201",
		"\x00\x7f\xff~": "%00%7F%FF~",
	} {
		if got := EncodeValue(in); got != want {
			t.Errorf("EncodeValue(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDecodeValue(t *testing.T) {
	t.Parallel()
	if got, err := DecodeValue("gr%c3%B6%C3%9fe b"); err != nil || got != "größe b" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"%", "%1", "a%2", "%zz", "%1g", "%%41", "%-1"} {
		if got, err := DecodeValue(bad); !errors.Is(err, ErrInvalidEncoding) {
			t.Errorf("DecodeValue(%q) = %q, %v; want ErrInvalidEncoding", bad, got, err)
		}
	}
}

// Whatever a key holds, it comes back, and what is sent is visible ASCII.
func TestEncodeValueIsReversible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "value"))
		encoded := EncodeValue(s)
		for i := range len(encoded) {
			if encoded[i] <= ' ' || encoded[i] >= 0x7f {
				t.Fatalf("EncodeValue(%q) = %q", s, encoded)
			}
		}
		if got, err := DecodeValue(encoded); err != nil || got != s {
			t.Fatalf("DecodeValue(%q) = %q, %v; want %q", encoded, got, err, s)
		}
	})
}
