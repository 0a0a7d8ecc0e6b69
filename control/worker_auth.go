package control

import (
	"context"
	"slices"

	"github.com/orchestrix/orchestrix/webhook/push"
)

// Auth is how a worker is told who pushes, beside the signature.
type Auth = push.Auth

// AuthType is the way in which it is told.
type AuthType = push.AuthType

// maskAuth returns what is shown of an Auth: each secret that is set is Masked.
func maskAuth(a Auth) Auth {
	a.Scopes = slices.Clone(a.Scopes)
	for _, m := range a.Members() {
		if m.Secret && *m.At != "" {
			*m.At = Masked
		}
	}
	return a
}

// unmaskAuth puts the stored secrets in the place of those that are Masked, and
// takes away what a merge patch left over from another type.
func unmaskAuth(a, stored Auth) Auth {
	old := stored.Members()
	for i, m := range a.Members() {
		switch {
		case *m.At == Masked && a.Type == stored.Type && *old[i].At != "":
			*m.At = *old[i].At
		case a.Type != stored.Type && m.Of != a.Type && *m.At == *old[i].At:
			*m.At = ""
		}
	}
	if a.Type != stored.Type && a.Type != push.AuthOAuth2 && slices.Equal(a.Scopes, stored.Scopes) {
		a.Scopes = nil
	}
	return a
}

// authFaults returns what is wrong with a worker's Auth.
func (c *Control) authFaults(ctx context.Context, was *workerRecord, w *WorkerSpec) (f faults) {
	for _, m := range w.Auth.Members() {
		if m.Secret && *m.At == Masked {
			f.add("auth."+m.Name, "must be given: no value is stored that "+Masked+" could stand for")
		}
	}
	if len(f) > 0 {
		return f
	}
	if f = push.ValidateAuth("auth", &w.Auth, w.URL, w.Headers); len(f) > 0 || w.Auth.TokenURL == was.Auth.TokenURL {
		return f
	}
	if err := c.o.Guard.CheckURL(ctx, w.Auth.TokenURL); err != nil {
		f.add("auth.token_url", err.Error())
	}
	return f
}
