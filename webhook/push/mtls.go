package push

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
)

// identity is what a destination of type mtls brings into the TLS handshake.
type identity struct {
	certificate tls.Certificate
	roots       *x509.CertPool // nil for the client's
	// sessions are the destination's own: one that was begun with a certificate
	// must not be resumed by a destination that has another.
	sessions tls.ClientSessionCache
	// id tells identities apart, since connections are shared by host.
	id string
}

// newIdentity reads an Auth of type mtls. Its error does not repeat the key.
func newIdentity(a *Auth) (*identity, error) {
	certificate, err := tls.X509KeyPair([]byte(a.Certificate), []byte(a.Key))
	if err != nil {
		return nil, errors.New("the client certificate and its key are not valid")
	}
	i := &identity{certificate: certificate, sessions: tls.NewLRUClientSessionCache(1)}
	if a.CA != "" {
		i.roots = x509.NewCertPool()
		if !i.roots.AppendCertsFromPEM([]byte(a.CA)) {
			return nil, errors.New("the authorities of the worker's certificate are not valid")
		}
	}
	sum := sha256.Sum256([]byte(a.Certificate + "\x00" + a.Key + "\x00" + a.CA))
	i.id = hex.EncodeToString(sum[:])
	return i, nil
}

// tlsFor returns the configuration of a handshake with the destination.
func (c *Client) tlsFor(d *Destination) *tls.Config {
	config := c.tls.Clone()
	config.ServerName = d.target.host
	if i := d.identity; i != nil {
		config.Certificates, config.ClientSessionCache = []tls.Certificate{i.certificate}, i.sessions
		if i.roots != nil {
			config.RootCAs = i.roots
		}
	}
	return config
}
