package sealed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
	"github.com/orchestrix/orchestrix/store/sealed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ring(t rapid.TB, keys ...string) *sealed.Keyring {
	t.Helper()
	r, err := sealed.ParseKeyring(strings.Join(keys, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newStore() *store.Store { return store.New(model.New(1, time.Now)) }

func open(t rapid.TB, s *store.Store, r *sealed.Keyring) (*sealed.Store, int) {
	t.Helper()
	opened, n, err := sealed.Open(context.Background(), s, r, "worker", "signing")
	if err != nil {
		t.Fatal(err)
	}
	return opened, n
}

func put(t rapid.TB, s *sealed.Store, kind, name, data string) {
	t.Helper()
	d, _, err := s.PutDocument(context.Background(), kind, name, []byte(data), store.ExpectAny)
	if err != nil || string(d.Data) != data {
		t.Fatalf("put %s/%s: %q, %v", kind, name, d.Data, err)
	}
}

// stored returns a document as the engine has it.
func stored(t rapid.TB, s *store.Store, kind, name string) store.Document {
	t.Helper()
	d, err := s.GetDocument(context.Background(), kind, name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const secret = `{"secret":"hidden"}`

// TestLife: plain documents are encrypted by the first start with a key, those of
// an old key by the first start with a new one, and nothing is written twice.
func TestLife(t *testing.T) {
	t.Parallel()
	s, first, second := newStore(), sealed.GenerateKey(), sealed.GenerateKey()
	plain, _ := open(t, s, nil)
	put(t, plain, "worker", "a", secret)
	put(t, plain, "signing", "store", secret)
	if got := stored(t, s, "worker", "a").Data; string(got) != secret {
		t.Fatalf("without a key %q is stored", got)
	}
	for step, c := range []struct {
		keys []string
		n    int
	}{{[]string{first}, 2}, {[]string{first}, 0}, {[]string{second, first}, 3}, {[]string{second}, 0}} {
		opened, n := open(t, s, ring(t, c.keys...))
		if n != c.n {
			t.Errorf("step %d: %d documents encrypted anew, want %d", step, n, c.n)
		}
		if step == 1 {
			put(t, opened, "worker", "b", secret)
		}
		if bytes.Contains(stored(t, s, "worker", "a").Data, []byte("hidden")) {
			t.Errorf("step %d: the secret is stored as it is", step)
		}
		d, err := opened.GetDocument(t.Context(), "worker", "a")
		docs, listErr := opened.ListDocuments(t.Context(), "worker", "", 10)
		if err != nil || listErr != nil || string(d.Data) != secret || len(docs) != min(step, 1)+1 || string(docs[0].Data) != secret {
			t.Errorf("step %d: %q %v, %v %v", step, d.Data, err, docs, listErr)
		}
	}
}

// TestWrongKeys: a store that cannot be read whole is not opened, and not changed.
func TestWrongKeys(t *testing.T) {
	t.Parallel()
	s, key, other := newStore(), sealed.GenerateKey(), sealed.GenerateKey()
	opened, _ := open(t, s, ring(t, key))
	put(t, opened, "signing", "store", secret)
	if _, _, err := s.PutDocument(t.Context(), "worker", "plain", []byte(secret), store.ExpectAny); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*sealed.Keyring{"none": nil, "another": ring(t, other)} {
		_, _, err := sealed.Open(t.Context(), s, r, "worker", "signing")
		if !errors.Is(err, sealed.ErrNoKey) || !strings.Contains(err.Error(), "--secret-key-file") || !strings.Contains(err.Error(), ring(t, key).IDs()[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := stored(t, s, "worker", "plain"); string(d.Data) != secret || d.Version != 1 {
		t.Errorf("a store that was not opened was changed: %q", d.Data)
	}
}

// TestDamage: no changed byte, other kind or other name gets through.
func TestDamage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStore()
		opened, _ := open(t, s, ring(t, sealed.GenerateKey()))
		put(t, opened, "worker", "a", secret)
		data := bytes.Clone(stored(t, s, "worker", "a").Data)
		kind, name := "worker", "a"
		switch rapid.IntRange(0, 2).Draw(t, "change") {
		case 0:
			name = "b"
		case 1:
			kind = "signing"
		case 2:
			prefix := len("sealed:v1:")
			data[rapid.IntRange(prefix, len(data)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		if _, _, err := s.PutDocument(context.Background(), kind, name, data, store.ExpectAny); err != nil {
			t.Fatal(err)
		}
		_, err := opened.GetDocument(context.Background(), kind, name)
		if !errors.Is(err, sealed.ErrDamaged) && !errors.Is(err, sealed.ErrNoKey) {
			t.Fatalf("opened %q: %v", data, err)
		}
	})
}

func TestKeyringFile(t *testing.T) {
	t.Parallel()
	one, two := sealed.GenerateKey(), sealed.GenerateKey()
	good := ring(t, "# in use", one, "", "  "+two+"\r")
	if ids := good.IDs(); len(ids) != 2 || ids[0] == ids[1] || ids[0] != ring(t, one).IDs()[0] {
		t.Errorf("ids %v", ids)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", good, good, good, good); strings.Count(shown, "keyring[") != 4 || strings.Contains(shown, "aead") {
		t.Errorf("shown as %s", shown)
	}
	many := ""
	for range sealed.MaxKeys + 1 {
		many += sealed.GenerateKey() + "\n"
	}
	for name, text := range map[string]string{
		"empty": "", "comments": "# a\n\n", "twice": one + "\n" + one, "many": many,
		"short": one[:len(one)-1], "no prefix": strings.TrimPrefix(one, "oxkey_"), "two in a line": one + " " + two,
	} {
		_, err := sealed.ParseKeyring(text)
		if err == nil || strings.Contains(err.Error(), strings.TrimPrefix(one, "oxkey_")[:20]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "keys")
	if _, err := sealed.ReadKeyring(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for content, want := range map[string]string{one: "", strings.Repeat("#", sealed.MaxFile+1): "larger than", "x": "line 1"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sealed.ReadKeyring(path); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20s: %v", content, err)
		}
	}
}
