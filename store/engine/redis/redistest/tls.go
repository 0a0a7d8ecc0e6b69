package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// TLS is a line of configuration that has the servers speak TLS only, with clients,
// replicas and each other, and ask for a client's certificate.
const TLS = "# TLS"

// pair is a certificate of 127.0.0.1, signed by itself, that all servers of a
// process and their clients have in common.
type pair struct {
	cert, key []byte // PEM
	config    *tls.Config
}

var certified = sync.OnceValues(func() (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	p := &pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
	both, err := tls.X509KeyPair(p.cert, p.key)
	p.config = &tls.Config{Certificates: []tls.Certificate{both}, RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	p.config.RootCAs.AppendCertsFromPEM(p.cert)
	return p, err
})

// secure writes the certificate where the server finds it, and returns the lines
// of configuration that use it.
func (s *Server) secure() (string, error) {
	p, err := certified()
	if err != nil {
		return "", err
	}
	s.tls = p.config
	for name, data := range map[string][]byte{"cert.pem": p.cert, "key.pem": p.key} {
		if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("port 0\ntls-port %d\ntls-cert-file %s/cert.pem\ntls-key-file %[2]s/key.pem\ntls-ca-cert-file %[2]s/cert.pem\ntls-replication yes\n",
		s.Port, s.dir), nil
}

// url puts a URL together: rediss where the server speaks TLS, with its files.
func (s *Server) url(kind, path, query string) string {
	if s.tls == nil {
		return "redis" + kind + "://" + s.Address() + path + query
	}
	files := fmt.Sprintf("ca=%s/cert.pem&cert=%[1]s/cert.pem&key=%[1]s/key.pem", s.dir)
	if query = strings.TrimPrefix(query, "?"); query != "" {
		files += "&" + query
	}
	return "rediss" + kind + "://" + s.Address() + path + "?" + files
}
