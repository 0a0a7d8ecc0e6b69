package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// An API key is "ox_", its id, "_" and a secret whose last six characters are a
// check sum, so that a mistyped key, and a leaked one in a repository, is known
// by its form. Only the SHA-256 of the whole text is stored: the secret holds
// 160 random bits, so that a slow hash would add nothing.
const (
	keyPrefix   = "ox_"
	keyIDLength = 12
	keySecret   = 32
	keyCheck    = 6
	keyLength   = len(keyPrefix) + keyIDLength + 1 + keySecret + keyCheck
	minRootKey  = 20
)

// GenerateAPIKey returns a new API key. It is for the root key, made offline;
// others come from CreateAPIKey.
func GenerateAPIKey() string {
	body := keyPrefix + randomText(keyIDLength) + "_" + randomText(keySecret)
	return body + keySum(body)
}

// CheckRootKey returns an error where a text should not be used as the root key:
// one that is too short to be safe, is no header value, or is a mistyped
// generated key.
func CheckRootKey(key string) error {
	switch {
	case len(key) < minRootKey:
		return fmt.Errorf("the root key must be at least %d characters long; make one with: orchestrix api-keys generate", minRootKey)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the root key must be visible ASCII without spaces")
	case strings.HasPrefix(key, keyPrefix) && !wellFormed(key):
		return errors.New("the root key begins like a generated one but its check sum is wrong: it is mistyped or cut")
	}
	return nil
}

// keySum returns six hex digits: 24 bits are enough against typing errors.
func keySum(body string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body)))[:keyCheck]
}

func wellFormed(key string) bool {
	return len(key) == keyLength && strings.HasPrefix(key, keyPrefix) && keySum(key[:keyLength-keyCheck]) == key[keyLength-keyCheck:]
}

// randomText returns that many random characters of lower-case base32.
func randomText(n int) string {
	return strings.ToLower(rand.Text() + rand.Text())[:n]
}

func keyID(key string) string { return key[len(keyPrefix) : len(keyPrefix)+keyIDLength] }

func hashKey(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// keyRecord is an API key as it is stored, under its id.
type keyRecord struct {
	Name    string    `json:"name"`
	Scopes  []string  `json:"scopes"`
	Hash    string    `json:"hash"`
	Expires time.Time `json:"expires_at,omitzero"`
}

// hash returns the key's hash; a record whose hash cannot be read is one that no
// key has.
func (r *keyRecord) hash() (h [32]byte) {
	raw, err := base64.StdEncoding.DecodeString(r.Hash)
	if err == nil {
		copy(h[:], raw)
	}
	return h
}

func (r *keyRecord) scopes() []Scope {
	var out []Scope
	for _, text := range r.Scopes {
		if s, err := ParseScope(text); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// errUnauthenticated is one error for every reason, so that it tells nothing.
var errUnauthenticated = &Error{
	Kind: Unauthenticated, Code: "unauthenticated",
	Detail: "a valid API key is needed: send it as Authorization: Bearer <key>",
}

// Authenticate returns who presents a key. Without a key it is everybody's
// principal where the server is open, and an error where it is not.
func (c *Control) Authenticate(ctx context.Context, key string) (Principal, error) {
	if key == "" {
		if c.o.Open {
			return Principal{Name: "local", Scopes: Root().Scopes}, nil
		}
		return Principal{}, errUnauthenticated
	}
	hash := hashKey(key)
	if c.o.RootKey != "" && subtle.ConstantTimeCompare(hash[:], c.rootHash[:]) == 1 {
		return Root(), nil
	}
	// Looking up a hash tells nothing about the key: who could choose its bits
	// would know the key.
	c.mu.RLock()
	d, ok := c.live.keys[hash]
	c.mu.RUnlock()
	if !ok || !wellFormed(key) {
		return Principal{}, errUnauthenticated
	}
	if !d.Value.Expires.IsZero() {
		now, err := c.store.Now(ctx)
		if err != nil {
			return Principal{}, storeError("authenticate", err)
		}
		if !now.Before(d.Value.Expires) {
			return Principal{}, errUnauthenticated
		}
	}
	return Principal{Name: d.Name, Scopes: d.Value.scopes()}, nil
}

// Open reports whether a request without a key may do everything.
func (c *Control) Open() bool { return c.o.Open }

// NewAPIKey is an API key to be made.
type NewAPIKey struct {
	// Name is for people, 1 to 128 bytes; it need not be unique.
	Name string
	// Scopes are 1 to 20 texts of ParseScope.
	Scopes []string
	// Expires is when the key stops to work; zero means never.
	Expires time.Time
}

// APIKey is an API key without its secret.
type APIKey struct {
	ID      string
	Name    string
	Scopes  []string
	Created time.Time
	Expires time.Time
	// Key is the key itself, in the answer of CreateAPIKey only.
	Key string
}

const (
	maxKeyName   = 128
	maxKeyScopes = 20
)

// CreateAPIKey makes a key. The answer is the only place where its text ever is.
func (c *Control) CreateAPIKey(ctx context.Context, n NewAPIKey) (APIKey, error) {
	if err := allow(ctx, ActionAdmin); err != nil {
		return APIKey{}, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return APIKey{}, storeError("create an API key", err)
	}
	if fields := n.faults(now); len(fields) > 0 {
		return APIKey{}, invalid(fields...)
	}
	key := GenerateAPIKey()
	hash := hashKey(key)
	d, _, err := change(ctx, c, kindAPIKey, keyID(key), Match{Absent: true}, func(d *document[keyRecord]) error {
		d.Value = keyRecord{n.Name, n.Scopes, base64.StdEncoding.EncodeToString(hash[:]), millis(n.Expires)}
		return nil
	})
	if err != nil {
		return APIKey{}, err
	}
	out := apiKey(&d)
	out.Key = key
	return out, nil
}

func (n *NewAPIKey) faults(now time.Time) []job.FieldError {
	var f faults
	if n.Name == "" {
		f.add("name", "must not be empty")
	}
	f.add("name", checkText(n.Name, maxKeyName))
	if len(n.Scopes) == 0 || len(n.Scopes) > maxKeyScopes {
		f.add("scopes", fmt.Sprintf("must have 1 to %d entries", maxKeyScopes))
	}
	for i, text := range n.Scopes {
		if _, err := ParseScope(text); err != nil {
			f.add(fmt.Sprintf("scopes[%d]", i), err.Error())
		}
	}
	if !n.Expires.IsZero() && !n.Expires.After(now) {
		f.add("expires_at", "must be in the future")
	}
	return f
}

func apiKey(d *document[keyRecord]) APIKey {
	return APIKey{ID: d.Name, Name: d.Value.Name, Scopes: d.Value.Scopes, Created: d.Created, Expires: d.Value.Expires}
}

// APIKeyList is one page of API keys, by id.
type APIKeyList struct {
	Keys   []APIKey
	Cursor string
}

// ListAPIKeys returns a page of all API keys; the root key is not among them.
func (c *Control) ListAPIKeys(ctx context.Context, cursor string, limit int) (APIKeyList, error) {
	if err := allow(ctx, ActionAdmin); err != nil {
		return APIKeyList{}, err
	}
	after, err := checkPage("api-keys", cursor, &limit)
	if err != nil {
		return APIKeyList{}, err
	}
	docs, err := c.store.ListDocuments(ctx, kindAPIKey, after, limit)
	if err != nil {
		return APIKeyList{}, storeError("list API keys", err)
	}
	var list APIKeyList
	for _, doc := range docs {
		d, err := decode[keyRecord](doc)
		if err != nil {
			return APIKeyList{}, err
		}
		list.Keys = append(list.Keys, apiKey(&d))
	}
	if len(docs) == limit {
		list.Cursor = encodeCursor(docs[limit-1].Name, "api-keys")
	}
	return list, nil
}

// DeleteAPIKey takes a key out of use at once.
func (c *Control) DeleteAPIKey(ctx context.Context, id string) error {
	if err := allow(ctx, ActionAdmin); err != nil {
		return err
	}
	return remove(ctx, c, kindAPIKey, id, Match{}, func(*document[keyRecord]) error { return nil })
}
