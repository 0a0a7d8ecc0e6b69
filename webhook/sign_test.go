package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"
)

func newSigner(t testing.TB, secrets ...Secret) *Signer {
	t.Helper()
	s, err := NewSigner(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// oracle is the official library with the same secret.
func oracle(t testing.TB, s Secret) *standard.Webhook {
	t.Helper()
	w, err := standard.NewWebhook(s.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustParse(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The example of the Standard Webhooks repository.
func TestSignatureOfTheSpecification(t *testing.T) {
	t.Parallel()
	s := newSigner(t, mustParse(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	got := s.AppendSignature([]byte("x: "), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`))
	if want := "x: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The official library accepts what we sign, under each secret of a rotation,
// and signs the same bytes.
func TestOfficialLibraryVerifies(t *testing.T) {
	t.Parallel()
	secrets := []Secret{NewSecret(), NewSecret(), NewSecret()}
	for n := 1; n <= len(secrets); n++ {
		signer, now := newSigner(t, secrets[:n]...), time.Now()
		rapid.Check(t, func(r *rapid.T) {
			id := rapid.StringMatching(`job_[0-9a-z]{26}(_r[1-9])?`).Draw(r, "id")
			body := rapid.SliceOf(rapid.Byte()).Draw(r, "body")
			header := http.Header{}
			signer.Sign(header, id, now, body)
			for _, secret := range secrets[:n] {
				if err := oracle(t, secret).Verify(body, header); err != nil {
					r.Fatal(err)
				}
			}
			if err := oracle(t, NewSecret()).Verify(body, header); err == nil {
				r.Fatal("verified with another secret")
			}
			want, _ := oracle(t, secrets[0]).Sign(id, now, body)
			if first, _, _ := strings.Cut(header.Get(HeaderSignature), " "); first != want {
				r.Fatalf("got %s, want %s", first, want)
			}
		})
	}
}

// orchestrix-signature, written down once more in the plainest way.
func TestOwnSignatureIsAsDocumented(t *testing.T) {
	t.Parallel()
	secret, body := NewSecret(), []byte(`{"a":1}`)
	digest := sha256.Sum256(body)
	content := "job_1.1700000000.orchestrix-attempt:2\norchestrix-job-type:a%20b\n" + hex.EncodeToString(digest[:])
	mac := hmac.New(sha256.New, secret.raw())
	mac.Write([]byte(content))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))

	lines := []byte("orchestrix-attempt:2\norchestrix-job-type:a%20b\n")
	signer := newSigner(t, secret)
	if got := string(signer.AppendOwnSignature(nil, "job_1", 1700000000, lines, body)); got != want {
		t.Errorf("AppendOwnSignature: got %s, want %s", got, want)
	}
	header := http.Header{"Orchestrix-Job-Type": {" a%20b "}, "Orchestrix-Attempt": {"2"}, "X-Other": {"1"}}
	signer.Sign(header, "job_1", time.Unix(1700000000, 0), body)
	if got := header.Get(HeaderOwnSignature); got != want {
		t.Errorf("Sign: got %s, want %s", got, want)
	}
}

// What Sign signs verifies, however the headers stood there before.
func TestSignTidiesUp(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	h := http.Header{
		"orchestrix-queue": {"a"}, "Orchestrix-Attempt": {" 1 ", "2"}, "ORCHESTRIX-KEY": {"k"}, "Orchestrix-Key": {"k"},
		"orchestrix-signature": {"v1,old"}, "Webhook-Id": {"old", "older"}, "Orchestrix-Empty": {},
	}
	newSigner(t, secret).Sign(h, "job_1", signedAt, payload)
	if err := verifierAt(signedAt, secret).Verify(h, payload); err != nil {
		t.Error(err)
	}
	if len(h) != 7 || h.Get(HeaderQueue) != "a" || h.Get(HeaderAttempt) != "1" || h.Get(HeaderKey) != "k" {
		t.Errorf("got %v", h)
	}
}

func TestNewSignerWantsSecrets(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]Secret{nil, {{}}, {NewSecret(), {}}} {
		if _, err := NewSigner(secrets...); !errors.Is(err, ErrNoSecret) {
			t.Errorf("got %v, want ErrNoSecret", err)
		}
	}
}

// Pooled states of one signature must not show in another.
func TestSignerIsConcurrent(t *testing.T) {
	t.Parallel()
	secrets := []Secret{NewSecret(), NewSecret()}
	signer, now := newSigner(t, secrets...), time.Now()
	verifier := Verifier{Secrets: secrets[1:]}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				body := fmt.Appendf(nil, "%d/%d", g, i)
				header := http.Header{"Orchestrix-Attempt": {fmt.Sprint(i)}}
				signer.Sign(header, fmt.Sprintf("job_%d", g), now, body)
				if err := verifier.Verify(header, body); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

//nolint:paralleltest // others' allocations would be counted
func TestSigningAllocatesNothing(t *testing.T) {
	signer := newSigner(t, NewSecret(), NewSecret())
	dst, body := make([]byte, 0, 1024), make([]byte, 1024)
	lines := []byte("orchestrix-attempt:2\n")
	n := testing.AllocsPerRun(100, func() {
		dst = signer.AppendSignature(dst[:0], "job_1", 1700000000, body)
		dst = signer.AppendOwnSignature(dst[:0], "job_1", 1700000000, lines, body)
	})
	// The race detector makes sync.Pool drop entries at random.
	if n >= 1 && !raceEnabled {
		t.Errorf("%v allocations per push, want none", n)
	}
}

func BenchmarkSignPush(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			signer := newSigner(b, []Secret{NewSecret(), NewSecret()}[:n]...)
			dst, body := make([]byte, 0, 1024), make([]byte, 1024)
			lines := []byte("orchestrix-attempt:2\norchestrix-job-type:invoice.created\n")
			b.ReportAllocs()
			for b.Loop() {
				dst = signer.AppendSignature(dst[:0], "job_00000000000000000000000000", 1700000000, body)
				dst = signer.AppendOwnSignature(dst[:0], "job_00000000000000000000000000", 1700000000, lines, body)
			}
		})
	}
}
