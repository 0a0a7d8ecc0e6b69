package app

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate that is read again when its file has changed, so
// that a renewed one needs no restart.
type keyPair struct {
	cert, key string
	log       *slog.Logger

	mu       sync.Mutex
	current  *tls.Certificate
	modified time.Time
	looked   time.Time
}

// lookEvery bounds how often the file's time is asked for.
const lookEvery = 10 * time.Second

func (k *keyPair) load() error {
	info, err := os.Stat(k.cert)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return err
	}
	k.current, k.modified = &pair, info.ModTime()
	return nil
}

// certificate implements tls.Config.GetCertificate. A new file that cannot be
// read yet, since its key is still to be written, leaves the old one in use.
func (k *keyPair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.looked) > lookEvery {
		k.looked = now
		if info, err := os.Stat(k.cert); err == nil && !info.ModTime().Equal(k.modified) {
			if err := k.load(); err != nil {
				k.log.Warn("the renewed certificate cannot be used yet", "error", err)
			}
		}
	}
	return k.current, nil
}
