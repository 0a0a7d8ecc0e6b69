package webhook

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzParseSignatures compares the parser with the plainest one.
func FuzzParseSignatures(f *testing.F) {
	good := "v1," + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	key := "v1a," + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 64))
	for _, seed := range []string{
		key, good + " " + key, strings.Repeat(key+" ", 9), key[:80], key + "=",
		"", " ", ",", "v1", "v1,", "v1,,", good, good + " " + good, "v1a," + good, good[:46] + "\n", strings.Repeat(good+" ", 17),
		"  " + good, good + "  ", "v1,====", "v2,abc " + good, "\x00", "v1," + strings.Repeat("=", 44),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := parseSignatures(value)
		want, entries := plainSignatures(value, "v1,", 32)
		keyed, _ := plainSignatures(value, "v1a,", 64)
		keyed = keyed[:min(len(keyed), maxKeySignatures)]
		if (err != nil) != (entries > MaxSignatures) {
			t.Fatalf("%d entries: got %v", entries, err)
		}
		if err != nil {
			return
		}
		if list.n != len(want) || list.na != len(keyed) {
			t.Fatalf("got %d and %d signatures, want %d and %d", list.n, list.na, len(want), len(keyed))
		}
		for i := range keyed {
			if !bytes.Equal(list.v1a[i][:], keyed[i]) {
				t.Fatalf("v1a signature %d: got %x, want %x", i, list.v1a[i], keyed[i])
			}
		}
		for i := range want {
			if !bytes.Equal(list.v1[i][:], want[i]) {
				t.Fatalf("signature %d: got %x, want %x", i, list.v1[i], want[i])
			}
		}
	})
}

func plainSignatures(value, scheme string, size int) (list [][]byte, entries int) {
	for _, entry := range strings.Split(value, " ") {
		if entry == "" {
			continue
		}
		entries++
		text, ok := strings.CutPrefix(entry, scheme)
		if !ok || len(text) != base64.StdEncoding.EncodedLen(size) {
			continue
		}
		if raw, err := base64.StdEncoding.Strict().DecodeString(text); err == nil && len(raw) == size {
			list = append(list, raw)
		}
	}
	return list, entries
}

// FuzzVerify throws headers at a whole verification: nothing unsigned passes.
func FuzzVerify(f *testing.F) {
	secret := NewSecret()
	v := verifierAt(signedAt, secret)
	good := push(f, secret)
	f.Add("job_1", "1700000000", good.Get(HeaderSignature), good.Get(HeaderOwnSignature), "orchestrix-queue", "billing", payload)
	f.Add("", "NaN", "v1,", "v1a,x", "orchestrix-\n", "\x00", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signature, own, name, value string, body []byte) {
		h := map[string][]string{
			HeaderID: {id}, HeaderTimestamp: {timestamp}, HeaderSignature: {signature}, HeaderOwnSignature: {own}, name: {value},
		}
		if v.Verify(h, body) == nil {
			t.Fatal("verified without the secret")
		}
	})
}
