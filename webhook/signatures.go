package webhook

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// MaxSignatures is how many signatures one header may hold. A sender sends one
// per secret; the bound is what a hostile one can make a verifier compare.
const MaxSignatures = 16

const v1Length = 44 // base64 of 32 bytes

// signatureList holds the decoded v1 signatures of a header, without a slice on
// the heap.
type signatureList struct {
	v1 [MaxSignatures][sha256.Size]byte
	n  int
}

// parseSignatures reads a signature header: entries "<scheme>,<text>" separated
// by spaces. Entries of other schemes, and v1 entries that are not the base64
// of 32 bytes, are skipped: they cannot match. More than MaxSignatures entries
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
		if text, ok := strings.CutPrefix(entry, schemeV1); ok && decodeV1(&list.v1[list.n], text) {
			list.n++
		}
	}
	return list, nil
}

func decodeV1(dst *[sha256.Size]byte, text string) bool {
	if len(text) != v1Length {
		return false
	}
	// Decode writes what the padding leaves open into a longer buffer.
	var buf [base64Room]byte
	n, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(text))
	return err == nil && n == copy(dst[:], buf[:n]) && n == sha256.Size
}

const base64Room = v1Length / 4 * 3
