package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// APIKey is an API key as the server shows it: never the key itself, but in the
// answer that made it.
type APIKey struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Key is the key, only in the answer to CreateAPIKey: the server keeps a hash.
	Key string `json:"key,omitempty"`
}

// NewAPIKey is a key to be made.
type NewAPIKey struct {
	Name string `json:"name"`
	// Scopes are read, jobs:write, workers:write and admin, each narrowed to a
	// queue prefix as in "jobs:write@billing.*".
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// CreateAPIKey makes a key. The answer holds it, once.
func (c *Client) CreateAPIKey(ctx context.Context, key NewAPIKey) (*APIKey, error) {
	return get[APIKey](ctx, c, call{method: http.MethodPost, path: "/v1/api-keys", body: key, once: true}, "create API key "+key.Name)
}

// APIKeys walks all keys.
func (c *Client) APIKeys(ctx context.Context) iter.Seq2[APIKey, error] {
	return walk[APIKey](ctx, c, "/v1/api-keys", "list API keys")
}

// DeleteAPIKey revokes a key at once.
func (c *Client) DeleteAPIKey(ctx context.Context, id string) error {
	if err := c.do(ctx, call{method: http.MethodDelete, path: "/v1/api-keys/" + url.PathEscape(id)}, nil); err != nil {
		return fmt.Errorf("delete API key %s: %w", id, err)
	}
	return nil
}

// SigningKey is one of the server's own keys, which sign the pushes of jobs
// with a URL of their own.
type SigningKey struct {
	// Secret is a "whsec_..." for a webhook.Verifier.
	Secret    string    `json:"secret"`
	CreatedAt time.Time `json:"created_at"`
	// Until is when it stops to sign; zero for the newest.
	Until time.Time `json:"until,omitzero"`
}

// SigningKeys returns the server's own keys, the newest first.
func (c *Client) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	return c.signingKeys(ctx, "list", call{method: http.MethodGet, path: signingPath})
}

// RotateSigningKey makes a new key, and returns all that sign now.
func (c *Client) RotateSigningKey(ctx context.Context, r Rotation) ([]SigningKey, error) {
	return c.signingKeys(ctx, "rotate", call{method: http.MethodPost, path: signingPath + "/rotate", body: r, once: true})
}

const signingPath = "/v1/signing-keys"

func (c *Client) signingKeys(ctx context.Context, verb string, call call) ([]SigningKey, error) {
	var out struct {
		Items []SigningKey `json:"items"`
	}
	if err := c.do(ctx, call, &out); err != nil {
		return nil, fmt.Errorf("%s signing keys: %w", verb, err)
	}
	return out.Items, nil
}
