package sealed

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	keyPrefix = "oxkey_"
	keyBytes  = 32
)

// The bounds of a keyring: its keys, and its file in bytes.
const (
	MaxKeys = 32
	MaxFile = 64 << 10
)

// The reasons why a document cannot be opened.
var (
	// ErrNoKey says that a document was sealed with a key that is not there.
	ErrNoKey = errors.New("the key that it is encrypted with is not in the file of --secret-key-file")
	// ErrDamaged says that a sealed document, or its kind or name, was changed.
	ErrDamaged = errors.New("it is encrypted and was changed since: it cannot be decrypted")
)

// GenerateKey returns a new key as one line of a keyring file.
func GenerateKey() string {
	var key [keyBytes]byte
	rand.Read(key[:]) // never fails since Go 1.24
	return keyPrefix + base64.RawURLEncoding.EncodeToString(key[:])
}

// Keyring is the keys that seal and open. It is immutable, may be used
// concurrently, and shows as the ids of its keys however it is printed.
type Keyring struct{ keys []sealingKey }

type sealingKey struct {
	// id is the beginning of a hash of the key, and stands beside what it sealed.
	id   string
	aead cipher.AEAD
}

// ReadKeyring reads a keyring file. Its errors name the line and hold no key.
func ReadKeyring(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, MaxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ring, err := ParseKeyring(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}

// ParseKeyring reads the text of a keyring file: one key a line, as GenerateKey
// returns it, the one that seals first. Empty lines and those that begin with #
// count for nothing.
func ParseKeyring(text string) (*Keyring, error) {
	ring := &Keyring{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if ring.key(key.id) != nil {
			return nil, fmt.Errorf("line %d: the key is there twice", number)
		}
		ring.keys = append(ring.keys, key)
	}
	if len(ring.keys) == 0 || len(ring.keys) > MaxKeys {
		return nil, fmt.Errorf("it must hold 1 to %d keys; make one with: orchestrix secrets generate-key", MaxKeys)
	}
	return ring, nil
}

var errKey = errors.New(`it is not a key: want "oxkey_" and 43 characters, as orchestrix secrets generate-key makes them`)

func parseKey(line string) (sealingKey, error) {
	encoded, ok := strings.CutPrefix(line, keyPrefix)
	key, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) != keyBytes {
		return sealingKey{}, errKey
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealingKey{}, errKey
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealingKey{}, errKey
	}
	sum := sha256.Sum256(append([]byte("orchestrix key id\x00"), key...))
	return sealingKey{hex.EncodeToString(sum[:4]), aead}, nil
}

func (r *Keyring) key(id string) *sealingKey {
	for i := range r.keys {
		if r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// IDs returns the ids of the keys, that of the one which seals first. They may
// be shown.
func (r *Keyring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.id
	}
	return ids
}

// Format implements fmt.Formatter, so that no verb shows what is inside.
func (r *Keyring) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "keyring%s", r.IDs()) }

// mark begins what is sealed: mark, key id, a colon, then nonce and ciphertext.
// A plain document is JSON and never begins so.
const mark = "sealed:v1:"

// seal encrypts a document with the first key.
func (r *Keyring) seal(kind, name string, data []byte) []byte {
	k := &r.keys[0]
	out := append([]byte(mark), k.id...)
	out = append(out, ':')
	return k.aead.Seal(out, nil, data, additional(kind, name))
}

// open returns what was sealed; a document that is plain is returned as it is. A
// nil Keyring opens what is plain. current says that nothing is to be done to
// bring it under the first key.
func (r *Keyring) open(kind, name string, data []byte) (plain []byte, current bool, err error) {
	rest, sealed := bytes.CutPrefix(data, []byte(mark))
	if !sealed {
		return data, r == nil, nil
	}
	id, box, ok := bytes.Cut(rest, []byte{':'})
	if !ok {
		return nil, false, ErrDamaged
	}
	if r == nil || r.key(string(id)) == nil {
		return nil, false, fmt.Errorf("%w (its id is %.16q)", ErrNoKey, id)
	}
	k := r.key(string(id))
	plain, err = k.aead.Open(nil, nil, box, additional(kind, name))
	if err != nil {
		return nil, false, ErrDamaged
	}
	return plain, k.id == r.keys[0].id, nil
}

// additional is what is authenticated beside the document. A kind holds no NUL.
func additional(kind, name string) []byte { return []byte("document\x00" + kind + "\x00" + name) }
