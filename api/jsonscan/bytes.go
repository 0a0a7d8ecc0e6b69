package jsonscan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// plainRun returns how many bytes at the beginning of b stand for themselves in
// a string: neither quote, backslash, control character nor the beginning of a
// character outside ASCII. Most of a payload are such bytes, so it looks at
// eight at a time.
func plainRun(b []byte) int {
	n := 0
	for len(b)-n >= 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		if odd := w&tops | zeroes(w^quotes) | zeroes(w^slashes) | below(w); odd != 0 {
			return n + bits.TrailingZeros64(odd)/8
		}
		n += 8
	}
	for n < len(b) && b[n] >= ' ' && b[n] < utf8.RuneSelf && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

const (
	ones    = 0x0101010101010101
	tops    = ones << 7
	quotes  = ones * '"'
	slashes = ones * '\\'
)

// zeroes has the top bit set in each byte that is zero in w. A byte above a
// zero one may be marked wrongly; the lowest mark is always right, and only
// that one is used.
func zeroes(w uint64) uint64 { return (w - ones) & ^w & tops }

// below has the top bit set in each byte below a space, with the same reserve.
func below(w uint64) uint64 { return (w - ones*' ') & ^w & tops }

// unescape returns what the text of a string stands for. The escapes are known
// to be well-formed; ok is false where half a surrogate pair is among them.
func unescape(raw []byte) (text []byte, ok bool) {
	text = make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if n := bytes.IndexByte(raw[i:], '\\'); n != 0 {
			if n < 0 {
				n = len(raw) - i
			}
			text = append(text, raw[i:i+n]...)
			i += n
			continue
		}
		if raw[i+1] != 'u' {
			text = append(text, unescaped(raw[i+1]))
			i += 2
			continue
		}
		r, size := unescapeRune(raw[i:])
		if size == 0 {
			return nil, false
		}
		text = utf8.AppendRune(text, r)
		i += size
	}
	return text, true
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// unescapeRune reads \uXXXX, or two of them that are a surrogate pair. The size
// is 0 where half a pair stands alone.
func unescapeRune(b []byte) (r rune, size int) {
	r, _ = hex4(b[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return 0, 0
	}
	low, _ := hex4(b[8:])
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
