package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/sealed"
)

// TestSecretsAtRest: a server whose secrets were plain encrypts them, rotates the
// key, signs as before all the while, and does not start without the key.
func TestSecretsAtRest(t *testing.T) {
	t.Parallel()
	c, file := config(t.TempDir()), filepath.Join(t.TempDir(), "keys")
	write := func(keys ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.Join(keys, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, c)
	w := s.register(t, "w", []string{"q"}, nil) // which verifies each push
	check := func(s *server, want string) {
		t.Helper()
		if ready, err := s.Ready(deadline(t)); err != nil || ready.Secrets != want {
			t.Errorf("ready: %+v, %v, want secrets %s", ready, err, want)
		}
		status(t, s.await(t, s.enqueue(t, client.NewJob{Queue: "q"})), job.Succeeded)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	check(s, "plain")
	first, second := sealed.GenerateKey(), sealed.GenerateKey()
	c.SecretKeyFile = file
	for _, keys := range [][]string{{first}, {second, first}, {second}} {
		write(keys...)
		check(start(t, c), "encrypted")
	}
	if n := len(w.received()); n != 4 {
		t.Errorf("%d pushes, want 4", n)
	}
	for name, change := range map[string]func(){
		"old key": func() { write(first) },
		"no key":  func() { c.SecretKeyFile = "" },
	} {
		change()
		if _, err := app.New(deadline(t), c); !errors.Is(err, sealed.ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
		c.SecretKeyFile = file
	}
	write("not a key")
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "--secret-key-file") || strings.Contains(err.Error(), "not a key\n") {
		t.Errorf("bad file: %v", err)
	}
}
