package push

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// authority signs the certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert, key, x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serveTLS(t *testing.T, config *tls.Config, serve func(*rawServer, net.Conn, *bufio.Reader)) *rawServer {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	return serveListener(t, l, "https://"+l.Addr().String(), serve)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue(t, nil)
	for name, c := range map[string]struct {
		config *tls.Config
		error  string // empty: it succeeds
	}{
		"trusted":    {&tls.Config{Certificates: []tls.Certificate{good}}, ""},
		"TLS 1.2":    {&tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, ""},
		"HTTP/2 too": {&tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"h2", "http/1.1"}}, ""},
		"untrusted":  {&tls.Config{Certificates: []tls.Certificate{other.issue(t, nil)}}, "certificate is not trusted: x509: certificate signed by unknown authority"},
		"wrong host": {&tls.Config{Certificates: []tls.Certificate{ca.issue(t, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"other.example"}
		})}}, "certificate is not valid for the host"},
		"expired": {&tls.Config{Certificates: []tls.Certificate{ca.issue(t, func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-time.Minute)
		})}}, "has expired"},
		"not yet valid": {&tls.Config{Certificates: []tls.Certificate{ca.issue(t, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(30 * time.Minute)
		})}}, "not yet valid"},
		"for clients": {&tls.Config{Certificates: []tls.Certificate{ca.issue(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})}}, "incompatible key usage"},
		"TLS 1.1": {&tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "TLS handshake failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveTLS(t, c.config, answerWith("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false))
			client, d := newClient(t, Options{RootCAs: ca.pool}), newDestination(t, server.url)
			for range 5 {
				a := client.Push(context.Background(), newRequest(d, "{}"))
				if c.error == "" && (a.Outcome != job.OutcomeSucceeded || string(a.Body) != "ok") {
					t.Fatalf("got %+v", a)
				}
				if c.error != "" && (a.Outcome != job.OutcomeFailed || a.Reason != job.ReasonTLS || !strings.Contains(a.Error, c.error) || a.Sent) {
					t.Fatalf("got %+v", a)
				}
			}
			if n := server.requests.Load(); c.error != "" && n != 0 {
				t.Errorf("%d requests reached a server that was not trusted", n)
			}
			if n := server.conns.Load(); c.error == "" && n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

func TestTLSToAPlainServer(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, func(_ *rawServer, c net.Conn, r *bufio.Reader) {
		r.ReadByte()
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	d := newDestination(t, strings.Replace(server.url, "http:", "https:", 1))
	a := newClient(t, Options{}).Push(context.Background(), newRequest(d, "{}"))
	if a.Reason != job.ReasonTLS || a.Error != "the server does not speak TLS: "+d.Address() {
		t.Errorf("got %+v", a)
	}
}

// Long bodies and long answers pass through TLS as they do without.
func TestTLSLongBody(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}}, func(w *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			q, body := w.readRequest(r)
			if q == nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n")
			c.Write(body[:50_000])
		}
	})
	client, d := newClient(t, Options{RootCAs: ca.pool}), newDestination(t, server.url)
	for _, size := range []int{50_000, 1 << 20, 8 << 20} {
		body := repeated("0123456789", size/10+1)[:size]
		if a := client.Push(context.Background(), newRequest(d, body)); string(a.Body) != body[:50_000] {
			t.Errorf("got %d bytes, %s", len(a.Body), a.Error)
		}
	}
	if n := server.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
