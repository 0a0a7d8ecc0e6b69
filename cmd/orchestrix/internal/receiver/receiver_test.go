package receiver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orchestrix/orchestrix/cmd/orchestrix/internal/receiver"
	"github.com/orchestrix/orchestrix/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyVerifiedPushesAreHandled(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	signer, err := webhook.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	var handled []*receiver.Push
	refused := 0
	r := &receiver.Receiver{
		Verifier: &webhook.Verifier{Secrets: []webhook.Secret{secret}},
		Handle:   func(_ http.ResponseWriter, _ *http.Request, p *receiver.Push) { handled = append(handled, p) },
		Refused:  func(http.Header, error) { refused++ },
	}
	post := func(body string) int {
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		req.Header.Set(webhook.HeaderJobType, "email.send")
		req.Header.Set(webhook.HeaderKey, webhook.EncodeValue("ä b"))
		req.Header.Set(webhook.HeaderAttempt, "3")
		signer.Sign(req.Header, "job_1", time.Now(), []byte("as signed"))
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		return w.Code
	}
	if code := post("as signed"); code != http.StatusOK || len(handled) != 1 {
		t.Fatalf("a push: %d, handled %d", code, len(handled))
	}
	if p := handled[0]; p.ID != "job_1" || p.Type != "email.send" || p.Key != "ä b" || p.Attempt != 3 || string(p.Body) != "as signed" {
		t.Errorf("push = %+v", p)
	}
	if code := post("another body"); code != http.StatusUnauthorized || len(handled) != 1 || refused != 1 {
		t.Errorf("a forged push: %d, handled %d, refused %d", code, len(handled), refused)
	}
}

func TestServerEnds(t *testing.T) {
	t.Parallel()
	s, err := receiver.Listen(t.Context(), "127.0.0.1:0", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receiver.Listen(t.Context(), s.Addr(), nil); err == nil {
		t.Error("two servers on one address")
	}
	if err := s.Close(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}
