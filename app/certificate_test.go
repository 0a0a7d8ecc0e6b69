package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// writePair writes a self-signed certificate and returns its bytes.
func writePair(t *testing.T, k *keyPair, serial int64, modified time.Time) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{k.cert: {Type: "CERTIFICATE", Bytes: der}, k.key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(k.cert, modified, modified); err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRenewedCertificateIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		k := &keyPair{cert: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key"), log: slog.New(slog.DiscardHandler)}
		served := func() []byte {
			c, err := k.certificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Certificate[0]
		}
		first := writePair(t, k, 1, time.Now())
		if err := k.load(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(served(), first) {
			t.Fatal("not the first certificate")
		}
		second := writePair(t, k, 2, time.Now().Add(time.Minute))
		if !bytes.Equal(served(), first) {
			t.Error("the files are looked at on each handshake")
		}
		time.Sleep(lookEvery + 1)
		if !bytes.Equal(served(), second) {
			t.Error("the renewed certificate is not used")
		}
		if err := os.WriteFile(k.cert, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery + 1)
		if !bytes.Equal(served(), second) {
			t.Error("a file that cannot be read took the certificate away")
		}
	})
}
