package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/webhook"
)

// signingName is the name of the one document with the store's own keys.
const signingName = "store"

// attemptsName is the name of the document with the key that attempts' tokens are made
// with. It does not rotate: an attempt may last for days.
const attemptsName = "attempts"

// SigningKey is one of the store's own keys, which sign ad-hoc jobs.
type SigningKey struct {
	Secret  string
	Created time.Time
	// Until is when it stops to sign; zero for the newest key.
	Until time.Time
}

// loadSigning reads the store's keys, and makes the first where there is none.
// The caller holds changing.
func (c *Control) loadSigning(ctx context.Context, name string) (keyring, error) {
	d, err := get[keyring](ctx, c, kindSigning, name)
	if err != nil || d.Version != 0 {
		return d.Value, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return nil, storeError("make the signing key", err)
	}
	ring := newKeyring(webhook.NewSecret(), now)
	data, err := json.Marshal(ring)
	if err != nil {
		return nil, fmt.Errorf("encode the signing key: %w", err)
	}
	_, _, err = c.putDocument(ctx, kindSigning, name, data, store.ExpectAbsent)
	if errors.Is(err, store.ErrVersion) { // another node was faster: its key it is
		d, err = get[keyring](ctx, c, kindSigning, name)
		return d.Value, err
	}
	return ring, storeError("store the signing key", err)
}

// SigningKeys returns the keys that sign ad-hoc jobs now, the newest first, with
// their secrets: who receives such pushes needs them to verify.
func (c *Control) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	if err := allow(ctx, ActionAdmin); err != nil {
		return nil, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return nil, storeError("read the signing keys", err)
	}
	d, err := get[keyring](ctx, c, kindSigning, signingName)
	if err != nil {
		return nil, err
	}
	return d.Value.shown(now), nil
}

// RotateSigningKey gives the store a new key; the one before signs too until its
// grace has ended.
func (c *Control) RotateSigningKey(ctx context.Context, r Rotation) ([]SigningKey, error) {
	if err := allow(ctx, ActionAdmin); err != nil {
		return nil, err
	}
	grace, secret, err := r.check()
	if err != nil {
		return nil, err
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return nil, storeError("rotate the signing key", err)
	}
	d, _, err := change(ctx, c, kindSigning, signingName, Match{}, func(d *document[keyring]) (err error) {
		d.Value, err = d.Value.rotate(secret, grace, now)
		return err
	})
	return d.Value.shown(now), err
}

func (r keyring) shown(now time.Time) []SigningKey {
	var out []SigningKey
	for i, s := range r {
		if i == 0 || s.Until.After(now) {
			out = append(out, SigningKey(s))
		}
	}
	return out
}
