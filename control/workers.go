package control

import (
	"context"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/webhook"
	"github.com/orchestrix/orchestrix/webhook/push"
)

// WorkerSpec is what a worker is registered with.
type WorkerSpec struct {
	URL string `json:"url"`
	// Queues are 1 to MaxWorkerQueues names.
	Queues []string `json:"queues"`
	// Concurrency is the number of pushes at once on each of its queues, 0 to
	// MaxWorkerConcurrency; 0 leaves it to the queue.
	Concurrency int `json:"concurrency,omitempty"`
	// Timeout bounds one attempt, MinTimeout to MaxTimeout; 0 means the server's.
	Timeout job.Duration `json:"timeout,omitempty"`
	Asynchronous
	Headers map[string]string `json:"headers,omitempty"`
	// Auth tells the worker who pushes. Its secrets are shown as Masked.
	Auth Auth `json:"auth,omitzero"`
	// Weight is its share among the workers of a queue, 1 to MaxWeight.
	Weight int `json:"weight"`
	// OnGone is what a 410 does to the worker: OnGonePause or OnGoneIgnore.
	OnGone string `json:"on_gone"`
	Protection
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// SigningSecret, where it is set, becomes the worker's only secret. It is
	// never shown.
	SigningSecret string `json:"-"`
	// SigningKey, where it is set, is GenerateKey, NoKey, or a private key that
	// becomes the worker's only one. Pushes are signed with it too. It is never
	// shown, its public key always.
	SigningKey string `json:"-"`
}

// The bounds and defaults of a worker.
const (
	MaxWorkerQueues      = 100
	MaxWorkerConcurrency = 10_000
	MaxWeight            = 1000
	DefaultWeight        = 1
	OnGonePause          = "pause"
	OnGoneIgnore         = "ignore"
	MaxDescription       = 1000
	MaxReason            = 200
)

// DefaultWorker returns a specification with the defaults and nothing else.
func DefaultWorker() WorkerSpec { return WorkerSpec{Weight: DefaultWeight, OnGone: OnGonePause} }

// Worker is a registered worker.
type Worker struct {
	Name string
	WorkerSpec
	Version          uint64
	Created, Updated time.Time
	Paused           bool
	PauseReason      string
	PausedAt         time.Time
	Live             dispatcher.WorkerLive
	// Secrets is how many secrets sign; more than one while a secret rotates.
	Secrets int
	// PublicKeys verify what the private keys sign, the newest first.
	PublicKeys []webhook.PublicKey
	// CertificateExpires is when the certificate of an mtls Auth ends.
	CertificateExpires time.Time
	// Secret is a secret that was just made or given, and is told once.
	Secret string
}

// workerRecord is a worker as it is stored.
type workerRecord struct {
	WorkerSpec
	pause
	Secrets keyring `json:"secrets"`
	Keys    keyring `json:"keys,omitempty"`
}

// pause is the state that verbs change, of a worker or a queue.
type pause struct {
	Paused   bool      `json:"paused,omitempty"`
	Reason   string    `json:"pause_reason,omitempty"`
	PausedAt time.Time `json:"paused_at,omitzero"`
	// ResumedAt is when it was last resumed.
	ResumedAt time.Time `json:"resumed_at,omitzero"`
}

// PutWorker registers a worker or replaces its specification. Its state and, but
// for a given SigningSecret, its secrets stay. created reports whether it is
// new; then, and where a secret was given, the worker has its Secret set.
func (c *Control) PutWorker(ctx context.Context, name string, m Match, spec WorkerSpec) (w Worker, created bool, err error) {
	return c.changeWorker(ctx, name, m, func(*workerRecord) (WorkerSpec, error) { return spec, nil })
}

// PatchWorker changes the specification of a worker that is registered, as patch
// does with a copy of it.
func (c *Control) PatchWorker(ctx context.Context, name string, m Match, patch func(*WorkerSpec) error) (Worker, error) {
	w, _, err := c.changeWorker(ctx, name, m, func(r *workerRecord) (WorkerSpec, error) {
		if len(r.Secrets) == 0 {
			return WorkerSpec{}, notFound("worker", name)
		}
		spec := r.WorkerSpec
		spec.Headers, spec.Labels = maps.Clone(spec.Headers), maps.Clone(spec.Labels)
		spec.Queues = slices.Clone(spec.Queues)
		return spec, patch(&spec)
	})
	return w, err
}

func (c *Control) changeWorker(ctx context.Context, name string, m Match, spec func(*workerRecord) (WorkerSpec, error)) (Worker, bool, error) {
	if message := job.CheckName(name); message != "" {
		return Worker{}, false, invalidField("name", "%s", message)
	}
	now, err := c.store.Now(ctx)
	if err != nil {
		return Worker{}, false, storeError("register the worker", err)
	}
	var secret webhook.Secret
	d, created, err := change(ctx, c, kindWorker, name, m, func(d *document[workerRecord]) error {
		if err := allowWorker(ctx, ActionWriteWorkers, &d.Value); err != nil {
			return err
		}
		next, err := spec(&d.Value)
		if err != nil {
			return err
		}
		secret, err = c.replaceSpec(ctx, &d.Value, next, now)
		return err
	})
	if err != nil {
		return Worker{}, false, err
	}
	w := c.worker(&d, now)
	w.Secret = secret.Reveal()
	return w, created, nil
}

// replaceSpec checks a specification, puts it into the record, and returns the
// secret that came into use by it, if one did.
func (c *Control) replaceSpec(ctx context.Context, r *workerRecord, spec WorkerSpec, now time.Time) (webhook.Secret, error) {
	given, key := spec.SigningSecret, spec.SigningKey
	spec.SigningSecret, spec.SigningKey = "", ""
	spec.Headers = unmask(canonical(spec.Headers), r.Headers)
	spec.Auth = unmaskAuth(spec.Auth, r.Auth)
	if fields := c.workerFaults(ctx, r, &spec, given, key); len(fields) > 0 {
		return webhook.Secret{}, invalid(fields...)
	}
	if err := allow(ctx, ActionWriteWorkers, spec.Queues...); err != nil {
		return webhook.Secret{}, err
	}
	r.WorkerSpec = spec
	r.setKey(key, now)
	if given == "" && len(r.Secrets) > 0 {
		return webhook.Secret{}, nil
	}
	secret := webhook.NewSecret()
	if given != "" {
		secret, _ = webhook.ParseSecret(given) // checked above
		if len(r.Secrets) > 0 && r.Secrets[0].Secret == given {
			return webhook.Secret{}, nil
		}
	}
	r.Secrets = newKeyring(secret, now)
	return secret, nil
}

// setKey carries out a SigningKey that is without fault. To ask for the same
// twice changes nothing, so that a PUT may be repeated.
func (r *workerRecord) setKey(text string, now time.Time) {
	switch {
	case text == "", text == GenerateKey && len(r.Keys) > 0:
	case text == NoKey:
		r.Keys = nil
	case text == GenerateKey:
		r.Keys = newKeyring(webhook.NewPrivateKey(), now)
	default:
		key, _ := webhook.ParsePrivateKey(text) // checked before
		if len(r.Keys) == 0 || r.Keys[0].Secret != key.Reveal() {
			r.Keys = newKeyring(key, now)
		}
	}
}

// allowWorker wants the action on every queue of a worker; there is none where
// the worker is new.
func allowWorker(ctx context.Context, a Action, r *workerRecord) error {
	if len(r.Queues) == 0 {
		return nil
	}
	return allow(ctx, a, r.Queues...)
}

func (c *Control) workerFaults(ctx context.Context, was *workerRecord, w *WorkerSpec, secret, key string) []job.FieldError {
	var f faults
	f.queues(w.Queues)
	if w.Concurrency < 0 || w.Concurrency > MaxWorkerConcurrency {
		f.add("concurrency", fmt.Sprintf("must be from 0 to %d", MaxWorkerConcurrency))
	}
	f.add("timeout", checkTimeout(w.Timeout))
	f = append(f, w.Asynchronous.faults()...)
	f = append(f, push.ValidateHeaders("headers", w.Headers)...)
	f.masked(w.Headers)
	f = append(f, c.authFaults(ctx, was, w)...)
	if w.Weight < 1 || w.Weight > MaxWeight {
		f.add("weight", fmt.Sprintf("must be from 1 to %d", MaxWeight))
	}
	if w.OnGone != OnGonePause && w.OnGone != OnGoneIgnore {
		f.add("on_gone", "must be pause or ignore")
	}
	f = append(f, w.Protection.faults()...)
	f.add("description", checkText(w.Description, MaxDescription))
	f.labels(w.Labels)
	if secret != "" {
		if _, err := webhook.ParseSecret(secret); err != nil {
			f.add("signing_secret", secretFault)
		}
	}
	if _, err := webhook.ParsePrivateKey(key); err != nil && key != "" && key != GenerateKey && key != NoKey {
		f.add("signing_key", keyFault+", or none")
	}
	if len(f) == 0 && w.URL == was.URL {
		return nil // it was judged before, and its name need not resolve again
	}
	if err := c.o.Guard.CheckURL(ctx, w.URL); err != nil {
		f.add("url", err.Error())
	}
	return f
}

func (f *faults) queues(names []string) {
	if len(names) == 0 || len(names) > MaxWorkerQueues {
		f.add("queues", fmt.Sprintf("must have 1 to %d entries", MaxWorkerQueues))
		return
	}
	for i, name := range names {
		field := fmt.Sprintf("queues[%d]", i)
		f.add(field, job.CheckName(name))
		if slices.Contains(names[:i], name) {
			f.add(field, "is there twice")
		}
	}
}

// checkText is for what a person writes and a person reads.
func checkText(s string, longest int) string {
	if len(s) > longest || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
		return fmt.Sprintf("must be at most %d bytes without control characters", longest)
	}
	return ""
}

// worker returns what is shown of a worker.
func (c *Control) worker(d *document[workerRecord], now time.Time) Worker {
	active := 0
	for i, s := range d.Value.Secrets {
		if i == 0 || s.Until.After(now) {
			active++
		}
	}
	w := Worker{
		Name: d.Name, WorkerSpec: d.Value.WorkerSpec, Version: d.Version, Created: d.Created, Updated: d.Updated,
		Paused: d.Value.Paused, PauseReason: d.Value.Reason, PausedAt: d.Value.PausedAt,
		Live: c.dispatch.WorkerLive(d.Name), Secrets: active,
	}
	keys, err := d.Value.Keys.keys(now)
	if err != nil { // which would have kept the configuration from being live
		c.log.Error("a worker's key cannot be read", "worker", d.Name, "error", err)
	}
	for _, k := range keys {
		w.PublicKeys = append(w.PublicKeys, k.Public())
	}
	w.Protection = w.Protection.shown()
	w.CertificateExpires = w.Auth.CertificateExpires()
	w.Headers, w.Auth = MaskHeaders(w.Headers), maskAuth(w.Auth)
	return w
}

// Masked stands for the value of a header that may hold a credential. Written
// back, it means the value that is stored.
const Masked = "[redacted]"

// maskedWords mark the names of headers whose values are not shown.
var maskedWords = []string{"auth", "token", "secret", "key", "cookie", "password", "signature", "session"}

// MaskHeaders returns the headers with the values that may hold a credential
// replaced by Masked.
func MaskHeaders(headers map[string]string) map[string]string {
	out := maps.Clone(headers)
	for name := range out {
		if holdsCredential(name) {
			out[name] = Masked
		}
	}
	return out
}

// holdsCredential reports whether the value of a header of that name may be one.
func holdsCredential(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc(maskedWords, func(word string) bool { return strings.Contains(lower, word) })
}

// unmask puts the stored values in the place of those that are Masked.
func unmask(headers, stored map[string]string) map[string]string {
	for name, value := range headers {
		if was, ok := stored[textproto.CanonicalMIMEHeaderKey(name)]; ok && value == Masked {
			headers[name] = was
		}
	}
	return headers
}

func (f *faults) masked(headers map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if headers[name] == Masked {
			f.add("headers."+name, "must be given: no value is stored that "+Masked+" could stand for")
		}
	}
}
