// Package webhook is what both ends of a push agree on: the names of its
// headers, the secrets, how a push is signed and how a worker verifies it.
//
// Every push carries two signatures. webhook-signature is that of Standard
// Webhooks 1.0 and covers the message id, the time and the body, so that any
// library of that standard verifies it: HMAC-SHA256 under a shared secret and,
// where the sender has a key pair, ed25519. orchestrix-signature covers in addition
// every other orchestrix-* header, which the standard leaves unsigned. A
// Verifier checks both: only together do they prove that headers and body
// belong to one push.
//
// The package promises constant-time comparison, bounded work on hostile input
// and no allocation per HMAC. It does not remember what it has seen: a
// replay within the tolerance is the worker's to refuse, by webhook-id. It
// imports the standard library only, since the SDKs import it.
package webhook
