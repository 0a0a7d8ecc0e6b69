package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*app.Config)
		want   string // a part of the error; "" means that it is valid
	}{
		{"defaults", func(*app.Config) {}, ""},
		{"memory", func(c *app.Config) { c.Store = "memory:" }, ""},
		{"IPv6 loopback", func(c *app.Config) { c.Listen = "[::1]:0" }, ""},
		{"localhost", func(c *app.Config) { c.Listen = "localhost:80" }, ""},
		{"a root key opens the world", func(c *app.Config) { c.Listen, c.RootKey = ":80", control.GenerateAPIKey() }, ""},
		{"no directory", func(c *app.Config) { c.Store = "embedded:" }, "must name a directory"},
		{"Redis", func(c *app.Config) { c.Store, c.Durability = "redis-sentinel://user:hidden@host/main", "replicas=2" }, ""},
		{"a Redis URL", func(c *app.Config) { c.Store = "redis://user:hidden@host?x=1" }, "--store: redis URL"},
		{"durability", func(c *app.Config) { c.Store, c.Durability = "redis://host", "fsync" }, "--durability"},
		{"durability of a directory", func(c *app.Config) { c.Durability = "aof" }, "--durability is for a store on Redis"},
		{"a store of later", func(c *app.Config) { c.Store = "postgres://user:hidden@host" }, `unknown store "postgres"`},
		{"a bare directory", func(c *app.Config) { c.Store = "./data" }, "unknown store"},
		{"all addresses", func(c *app.Config) { c.Listen = ":8080" }, "export ORCHESTRIX_ROOT_KEY=$(orchestrix api-keys generate) && orchestrix serve --listen :8080"},
		{"a public address", func(c *app.Config) { c.Listen = "192.0.2.1:80" }, "orchestrix serve --listen 192.0.2.1:80"},
		{"a name", func(c *app.Config) { c.Listen = "example.com:80" }, "no root key"},
		{"no port", func(c *app.Config) { c.Listen = "127.0.0.1" }, "must be host:port"},
		{"a short key", func(c *app.Config) { c.RootKey = "short" }, "root key must be at least"},
		{"an empty key file", func(c *app.Config) { c.RootKeyFile = empty }, "is empty"},
		{"no key file", func(c *app.Config) { c.RootKeyFile = empty + "x" }, "--root-key-file"},
		{"two keys", func(c *app.Config) { c.RootKeyFile, c.RootKey = empty, "x" }, "not both"},
		{"half of TLS", func(c *app.Config) { c.TLSCert = "cert.pem" }, "given together"},
		{"a proxy", func(c *app.Config) { c.EgressProxy = "socks5://proxy:1080" }, "--egress-proxy"},
		{"a network", func(c *app.Config) { c.AllowCIDR = []string{"10.0.0.0"} }, "--allow-cidr"},
		{"shards", func(c *app.Config) { c.Shards = 5000 }, "--shards must be from 0 to 4096"},
		{"payload", func(c *app.Config) { c.MaxPayload = 1 << 30 }, "--max-payload"},
		{"timeout", func(c *app.Config) { c.Timeout = time.Millisecond }, "--timeout must be from 1s to 1h"},
		{"retention", func(c *app.Config) { c.Retention = time.Second }, "--retention must be from 1m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := app.Defaults()
			tt.change(&c)
			err := c.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Validate = %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Validate = %v, want %q", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "hidden"):
				t.Errorf("Validate shows a password: %v", err)
			}
		})
	}
}

func TestValidateNamesEverything(t *testing.T) {
	t.Parallel()
	c := app.Defaults()
	c.Store, c.Shards, c.Listen = "x", -1, "nowhere"
	err := c.Validate()
	for _, want := range []string{"unknown store", "--shards", "--listen"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want it to name %s", err, want)
		}
	}
}

func TestRootKeyIsAskedFor(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	c.RootKey = control.GenerateAPIKey()
	s := start(t, c, client.WithKey(c.RootKey))
	stranger, err := client.New(s.URL(), client.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Enqueue(deadline(t), client.NewJob{Type: "t"}); !client.HasStatus(err, http.StatusUnauthorized) {
		t.Errorf("without a key: %v, want 401", err)
	}
	made, err := s.CreateAPIKey(deadline(t), client.NewAPIKey{Name: "billing", Scopes: []string{"jobs:write@billing.*"}})
	if err != nil {
		t.Fatal(err)
	}
	billing, err := client.New(s.URL(), client.WithKey(made.Key), client.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := billing.Enqueue(deadline(t), client.NewJob{Queue: "billing.a", Type: "t"}); err != nil {
		t.Errorf("within its scope: %v", err)
	}
	if _, err := billing.Enqueue(deadline(t), client.NewJob{Queue: "other", Type: "t"}); !client.HasStatus(err, http.StatusForbidden) {
		t.Errorf("outside its scope: %v, want 403", err)
	}
	if err := s.DeleteAPIKey(deadline(t), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := billing.Enqueue(deadline(t), client.NewJob{Queue: "billing.a", Type: "t"}); !client.HasStatus(err, http.StatusUnauthorized) {
		t.Errorf("after it was revoked: %v, want 401", err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, config(dir))
	if _, err := app.New(deadline(t), config(dir)); !errors.Is(err, engine.ErrLocked) {
		t.Errorf("a second server on the directory: %v, want ErrLocked", err)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	s := start(t, config(t.TempDir()))
	c := config(t.TempDir())
	c.Listen = s.app.Addr()
	if _, err := app.New(deadline(t), c); err == nil || !strings.Contains(err.Error(), "--listen "+c.Listen) {
		t.Errorf("a second server on the address: %v", err)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := app.New(deadline(t), config(dir))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	start(t, config(dir)) // neither the address nor the directory is held
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, config(dir))
	pending := first.enqueue(t, client.NewJob{Queue: "q", Labels: map[string]string{"a": "b"}, Payload: "kept"})
	delayed := first.enqueue(t, client.NewJob{Queue: "q", Delay: job.Duration(time.Hour)})
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, config(dir))
	w := second.register(t, "w", []string{"q"}, nil)
	j := second.await(t, pending)
	status(t, j, job.Succeeded)
	if w.received()[0].body != `"kept"` || j.Labels["a"] != "b" {
		t.Errorf("after a restart: %+v, pushed %s", j, w.received()[0].body)
	}
	if j, err := second.Job(deadline(t), delayed, 0); err != nil || j.Status != job.ShownScheduled {
		t.Errorf("the delayed job: %+v, %v", j, err)
	}
}

// A drain finishes the pushes under way and records how they ended.
func TestDrainFinishesPushes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, config(dir))
	reached, release := make(chan struct{}), make(chan struct{})
	w := s.register(t, "w", []string{"q"}, func(http.ResponseWriter, *http.Request, push) {
		close(reached)
		<-release
	})
	id := s.enqueue(t, client.NewJob{Queue: "q"})
	<-reached
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	ctx := deadline(t)
	for { // until the server takes no more requests
		if _, err := s.Ready(ctx); err != nil {
			break
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("the server ended during a push: %v", err)
	default:
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	j, err := start(t, config(dir)).Job(ctx, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	status(t, j, job.Succeeded)
	if n := len(w.received()); n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
}

// What outlasts the grace is aborted, booked as lost and pushed again.
func TestDrainGraceIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config(dir)
	c.DrainGrace = 100 * time.Millisecond
	s := start(t, c)
	reached := make(chan struct{}, 8)
	s.register(t, "w", []string{"q"}, func(_ http.ResponseWriter, r *http.Request, p push) {
		reached <- struct{}{}
		if p.attempt == 1 {
			<-r.Context().Done()
		}
	})
	id := s.enqueue(t, client.NewJob{Queue: "q"})
	<-reached
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	j := start(t, config(dir)).await(t, id)
	status(t, j, job.Succeeded)
	if got := outcomes(j); len(got) != 2 || got[0] != "lost" {
		t.Errorf("outcomes = %v, want lost, succeeded", got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config(filepath.Join(dir, "data"))
	c.TLSCert, c.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := app.New(deadline(t), c); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Fatalf("without the files: %v", err)
	}
	pool := writeCertificate(t, c.TLSCert, c.TLSKey)
	h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	s := start(t, c)
	if !strings.HasPrefix(s.app.URL(), "https://") {
		t.Errorf("URL = %s", s.app.URL())
	}
	api, err := client.New(s.app.URL(), client.WithHTTPClient(h), client.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Ready(deadline(t)); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	plain := strings.Replace(s.app.URL(), "https:", "http:", 1)
	unencrypted, err := client.New(plain, client.WithHTTPClient(h), client.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unencrypted.Ready(deadline(t)); err == nil {
		t.Error("the port answers without TLS")
	}
}

// writeCertificate makes a self-signed certificate for 127.0.0.1.
func writeCertificate(t *testing.T, cert, key string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}
