package control

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
)

// keyring is the secrets, or the private keys, that pushes are signed with, as it is stored: the
// newest first, each older one until the end of its grace.
type keyring []ringSecret

type ringSecret struct {
	Secret  string    `json:"secret"` // or private key
	Created time.Time `json:"created"`
	// Until is when the secret stops to sign; zero for the newest.
	Until time.Time `json:"until,omitzero"`
}

// maxSecrets bounds how many secrets sign at once: each costs a signature, and
// bytes in a header, on every push.
const maxSecrets = 5

// The bounds of a rotation's grace, the time for which the secret before still
// signs.
const (
	DefaultGrace = job.Duration(24 * time.Hour)
	MaxGrace     = job.Duration(30 * 24 * time.Hour)
)

// revealer is a webhook.Secret or webhook.PrivateKey.
type revealer interface{ Reveal() string }

func newKeyring(s revealer, now time.Time) keyring {
	return keyring{{Secret: s.Reveal(), Created: now}}
}

// rotate returns the ring with s as its newest secret; the one before it signs
// for the length of the grace.
func (r keyring) rotate(s revealer, grace time.Duration, now time.Time) (keyring, error) {
	out := newKeyring(s, now)
	for i, old := range r {
		if i == 0 {
			old.Until = now.Add(grace)
		}
		if old.Until.After(now) && old.Secret != out[0].Secret {
			out = append(out, old)
		}
	}
	if len(out) > maxSecrets {
		return nil, conflict("too_many_secrets", "%d secrets sign already: wait until the grace of one has ended", maxSecrets)
	}
	return out, nil
}

// active returns the secrets that sign at that time, the newest first.
func (r keyring) active(now time.Time) ([]webhook.Secret, error) {
	return active(r, now, webhook.ParseSecret)
}

// keys is active for a ring of private keys.
func (r keyring) keys(now time.Time) ([]webhook.PrivateKey, error) {
	return active(r, now, webhook.ParsePrivateKey)
}

func active[T any](r keyring, now time.Time, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for i, s := range r {
		if i > 0 && !s.Until.After(now) {
			continue
		}
		secret, err := parse(s.Secret)
		if err != nil {
			return nil, err
		}
		out = append(out, secret)
	}
	return out, nil
}

// nextEnd returns the first time after now at which a secret stops to sign, zero
// where none does.
func (r keyring) nextEnd(now time.Time) time.Time {
	var next time.Time
	for _, s := range r {
		if s.Until.After(now) && (next.IsZero() || s.Until.Before(next)) {
			next = s.Until
		}
	}
	return next
}

// Rotation asks for a new secret.
type Rotation struct {
	// Grace is for how long the secret before still signs, 0s to MaxGrace; nil
	// means DefaultGrace.
	Grace *job.Duration
	// Secret is the new secret, or the new private key for RotateKey; empty has
	// one made.
	Secret string
}

func (r *Rotation) checkGrace(f *faults) time.Duration {
	grace := DefaultGrace
	if r.Grace != nil {
		grace = *r.Grace
	}
	if grace < 0 || grace > MaxGrace {
		f.add("grace", "must be from 0s to "+MaxGrace.String())
	}
	return grace.Std()
}

// checkKey returns the grace and the private key.
func (r *Rotation) checkKey() (time.Duration, webhook.PrivateKey, error) {
	var f faults
	grace, key := r.checkGrace(&f), webhook.NewPrivateKey()
	if r.Secret != "" && r.Secret != GenerateKey {
		var err error
		if key, err = webhook.ParsePrivateKey(r.Secret); err != nil {
			f.add("signing_key", keyFault)
		}
	}
	if len(f) > 0 {
		return 0, webhook.PrivateKey{}, invalid(f...)
	}
	return grace, key, nil
}

// check returns the grace and the secret.
func (r *Rotation) check() (time.Duration, webhook.Secret, error) {
	var f faults
	grace := r.checkGrace(&f)
	secret := webhook.NewSecret()
	if r.Secret != "" {
		var err error
		if secret, err = webhook.ParseSecret(r.Secret); err != nil {
			f.add("secret", secretFault)
		}
	}
	if len(f) > 0 {
		return 0, webhook.Secret{}, invalid(f...)
	}
	return grace, secret, nil
}

// What SigningKey may be beside a private key.
const (
	GenerateKey = "generate" // makes a key pair, unless there is one
	NoKey       = "none"     // takes the key pairs away
)

const keyFault = `must be generate, or "whsk_" and the base64 of an ed25519 private key`

const secretFault = `must be "whsec_" and the base64 of 24 to 64 bytes`
