package webhook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// MaxSignatures is how many signatures one header may hold. A sender sends one
// per secret; the bound is what a hostile one can make a verifier compare.
const MaxSignatures = 16

// maxKeySignatures is how many v1a signatures of a header are looked at, since
// each costs as much as a thousand short HMACs. No sender of ours has more.
const maxKeySignatures = 8

const (
	v1Length  = 44 // base64 of 32 bytes
	v1aLength = 88 // base64 of 64 bytes
)

// signatureList holds the decoded signatures of a header, without a slice on the
// heap.
type signatureList struct {
	v1  [MaxSignatures][sha256.Size]byte
	v1a [maxKeySignatures][ed25519.SignatureSize]byte
	n   int // of v1
	na  int // of v1a
}

// parseSignatures reads a signature header: entries "<scheme>,<text>" separated
// by spaces. Entries of other schemes, v1 entries that are not the base64 of 32
// bytes and v1a entries that are not that of 64, are skipped: they cannot match.
// So are v1a entries after maxKeySignatures. More than MaxSignatures entries
// are ErrMalformedHeader.
func parseSignatures(value string) (signatureList, error) {
	var list signatureList
	for entries := 0; value != ""; {
		entry, rest, _ := strings.Cut(value, " ")
		value = rest
		if entry == "" {
			continue
		}
		if entries++; entries > MaxSignatures {
			return signatureList{}, ErrMalformedHeader
		}
		if text, ok := strings.CutPrefix(entry, schemeV1); ok && decodeExactly(list.v1[list.n][:], text, v1Length) {
			list.n++
		}
		if text, ok := strings.CutPrefix(entry, schemeV1a); ok && list.na < maxKeySignatures && decodeExactly(list.v1a[list.na][:], text, v1aLength) {
			list.na++
		}
	}
	return list, nil
}

// decodeExactly decodes a text of that length, which has to fill dst.
func decodeExactly(dst []byte, text string, length int) bool {
	if len(text) != length {
		return false
	}
	// Decode writes what the padding leaves open into a longer buffer.
	var buf [v1aLength / 4 * 3]byte
	n, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(text))
	return err == nil && n == len(dst) && n == copy(dst, buf[:n])
}
