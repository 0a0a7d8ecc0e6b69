package webhook

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	signedAt = time.Unix(1_700_000_000, 0)
	payload  = []byte(`{"amount":12}`)
)

// push returns the headers of a push signed at signedAt.
func push(t testing.TB, secrets ...Secret) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(HeaderJobType, "invoice.created")
	h.Set(HeaderQueue, "billing")
	h.Set(HeaderAttempt, "1")
	newSigner(t, secrets...).Sign(h, "job_1", signedAt, payload)
	return h
}

func verifierAt(now time.Time, secrets ...Secret) *Verifier {
	return &Verifier{Secrets: secrets, Now: func() time.Time { return now }}
}

func TestVerifyDuringRotation(t *testing.T) {
	t.Parallel()
	older, newer, other := NewSecret(), NewSecret(), NewSecret()
	for name, c := range map[string]struct {
		sent, accepted []Secret
		ok             bool
	}{
		"one":                     {[]Secret{older}, []Secret{older}, true},
		"sender rotates first":    {[]Secret{newer, older}, []Secret{older}, true},
		"worker rotates first":    {[]Secret{older}, []Secret{newer, older}, true},
		"both":                    {[]Secret{newer, older}, []Secret{older, newer}, true},
		"old secret is withdrawn": {[]Secret{older}, []Secret{newer}, false},
		"another":                 {[]Secret{newer, older}, []Secret{other}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := verifierAt(signedAt, c.accepted...).Verify(push(t, c.sent...), payload)
			if c.ok != (err == nil) || !c.ok && !errors.Is(err, ErrNoMatchingSignature) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestVerifyAcceptsWhatTheOfficialLibrarySigns(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	rapid.Check(t, func(r *rapid.T) {
		body := rapid.SliceOf(rapid.Byte()).Draw(r, "body")
		signature, err := oracle(t, secret).Sign("msg_1", signedAt, body)
		if err != nil {
			r.Fatal(err)
		}
		h := http.Header{}
		h.Set(HeaderID, "msg_1")
		h.Set(HeaderTimestamp, fmt.Sprint(signedAt.Unix()))
		h.Set(HeaderSignature, "v1a,AAAA "+signature)
		v := verifierAt(signedAt, secret)
		if err := v.Verify(h, body); !errors.Is(err, ErrMissingHeader) {
			r.Fatalf("without AllowPlain: got %v", err)
		}
		v.AllowPlain = true
		if err := v.Verify(h, body); err != nil {
			r.Fatal(err)
		}
	})
}

func TestVerifyTimestamp(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	for _, c := range []struct {
		late, tolerance time.Duration
		want            error
	}{
		{0, 0, nil},
		{DefaultTolerance, 0, nil},
		{DefaultTolerance + time.Second, 0, ErrTimestampTooOld},
		{-DefaultTolerance, 0, nil},
		{-DefaultTolerance - time.Second, 0, ErrTimestampTooNew},
		{2 * time.Second, time.Second, ErrTimestampTooOld},
		{time.Hour, 2 * time.Hour, nil},
		{time.Hour, -1, ErrTimestampTooOld},
	} {
		v := verifierAt(signedAt.Add(c.late), secret)
		v.Tolerance = c.tolerance
		if err := v.Verify(push(t, secret), payload); !errors.Is(err, c.want) {
			t.Errorf("%s late with tolerance %s: got %v, want %v", c.late, c.tolerance, err, c.want)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	many := strings.Repeat("v1,"+strings.Repeat("A", 43)+"= ", 10_000)
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for name, c := range map[string]struct {
		change func(h http.Header)
		want   error
	}{
		"no id":                      {func(h http.Header) { h.Del(HeaderID) }, ErrMissingHeader},
		"no timestamp":               {func(h http.Header) { h.Del(HeaderTimestamp) }, ErrMissingHeader},
		"no signature":               {func(h http.Header) { h.Del(HeaderSignature) }, ErrMissingHeader},
		"no own signature":           {func(h http.Header) { h.Del(HeaderOwnSignature) }, ErrMissingHeader},
		"no header at all":           {func(h http.Header) { clear(h) }, ErrMissingHeader},
		"empty id":                   {set(HeaderID, ""), ErrMissingHeader},
		"another id":                 {set(HeaderID, "job_2"), ErrNoMatchingSignature},
		"dotted id":                  {set(HeaderID, "job_1.2"), ErrMalformedHeader},
		"long id":                    {set(HeaderID, strings.Repeat("x", 1<<20)), ErrMalformedHeader},
		"two ids":                    {func(h http.Header) { h.Add(HeaderID, "job_1") }, ErrDuplicateHeader},
		"two ids in different case":  {func(h http.Header) { h["webhook-ID"] = []string{"job_1"} }, ErrDuplicateHeader},
		"two timestamps":             {func(h http.Header) { h.Add(HeaderTimestamp, "1") }, ErrDuplicateHeader},
		"two signatures":             {func(h http.Header) { h.Add(HeaderSignature, "v1,x") }, ErrDuplicateHeader},
		"two own signatures":         {func(h http.Header) { h.Add(HeaderOwnSignature, "v1,x") }, ErrDuplicateHeader},
		"a second job type":          {func(h http.Header) { h.Add(HeaderJobType, "evil") }, ErrDuplicateHeader},
		"a job type in another case": {func(h http.Header) { h["ORCHESTRIX-JOB-TYPE"] = []string{"evil"} }, ErrDuplicateHeader},
		"changed job type":           {set(HeaderJobType, "evil"), ErrNoMatchingSignature},
		"removed job type":           {func(h http.Header) { h.Del(HeaderJobType) }, ErrNoMatchingSignature},
		"added header":               {set("orchestrix-zone", "evil"), ErrNoMatchingSignature},
		"line break in a value":      {func(h http.Header) { h["Orchestrix-Attempt"] = []string{"1\norchestrix-b:2"} }, ErrMalformedHeader},
		"too many headers":           {addMany, ErrMalformedHeader},
		"NaN":                        {set(HeaderTimestamp, "NaN"), ErrTimestampMalformed},
		"1e20":                       {set(HeaderTimestamp, "1e20"), ErrTimestampMalformed},
		"20 digits":                  {set(HeaderTimestamp, "99999999999999999999"), ErrTimestampMalformed},
		"negative time":              {set(HeaderTimestamp, "-1700000000"), ErrTimestampMalformed},
		"signed time":                {set(HeaderTimestamp, "+1700000000"), ErrTimestampMalformed},
		"leading zero":               {set(HeaderTimestamp, "01700000000"), ErrTimestampMalformed},
		"fraction":                   {set(HeaderTimestamp, "1700000000.0"), ErrTimestampMalformed},
		"space":                      {set(HeaderTimestamp, " 1700000000"), ErrTimestampMalformed},
		"milliseconds":               {set(HeaderTimestamp, "170000000000"), ErrTimestampTooNew},
		"the epoch's first second":   {set(HeaderTimestamp, "1"), ErrTimestampTooOld},
		"10,000 signatures":          {set(HeaderSignature, many), ErrMalformedHeader},
		"10,000 own signatures":      {set(HeaderOwnSignature, many), ErrMalformedHeader},
		"unknown scheme":             {rename("v9,"), ErrNoMatchingSignature},
		"no scheme":                  {rename(""), ErrNoMatchingSignature},
		"upper scheme":               {rename("V1,"), ErrNoMatchingSignature},
		"commas only":                {set(HeaderSignature, ",,,, v1, ,v1"), ErrNoMatchingSignature},
		"truncated":                  {func(h http.Header) { h.Set(HeaderSignature, h.Get(HeaderSignature)[:40]) }, ErrNoMatchingSignature},
		"own signature as the other": {func(h http.Header) { h.Set(HeaderSignature, h.Get(HeaderOwnSignature)) }, ErrNoMatchingSignature},
		"signature as the own":       {func(h http.Header) { h.Set(HeaderOwnSignature, h.Get(HeaderSignature)) }, ErrNoMatchingSignature},
		"only headers stripped":      {stripOwn, ErrMissingHeader},
		"NUL in a signed header":     {func(h http.Header) { h["Orchestrix-Attempt"] = []string{"1\x00"} }, ErrMalformedHeader},
		"whitespace signature":       {set(HeaderSignature, strings.Repeat(" ", 1<<16)), ErrNoMatchingSignature},
		"signature of other base64": {func(h http.Header) {
			h.Set(HeaderSignature, strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(h.Get(HeaderSignature)))
		}, ErrNoMatchingSignature},
		"signature with a line break": {func(h http.Header) { s := h.Get(HeaderSignature); h.Set(HeaderSignature, s[:10]+"\n"+s[11:]) }, ErrNoMatchingSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := push(t, secret)
			c.change(h)
			if err := verifierAt(signedAt, secret).Verify(h, payload); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func addMany(h http.Header) {
	for i := range 2 * maxOwnHeaders {
		h.Set(fmt.Sprintf("Orchestrix-X%d", i), "1")
	}
}

func rename(scheme string) func(http.Header) {
	return func(h http.Header) {
		h.Set(HeaderSignature, scheme+strings.TrimPrefix(h.Get(HeaderSignature), "v1,"))
	}
}

func stripOwn(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, "Orchestrix-") })
}

func TestVerifyRefusesAnotherBody(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	for _, body := range [][]byte{nil, []byte(`{"amount":13}`), append([]byte(" "), payload...)} {
		if err := verifierAt(signedAt, secret).Verify(push(t, secret), body); !errors.Is(err, ErrNoMatchingSignature) {
			t.Errorf("body %q: got %v", body, err)
		}
	}
}

// With AllowPlain a request that has any of our headers still needs them signed.
func TestAllowPlainIsForPlainOnly(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	v := verifierAt(signedAt, secret)
	v.AllowPlain = true
	h := push(t, secret)
	h.Del(HeaderOwnSignature)
	if err := v.Verify(h, payload); !errors.Is(err, ErrMissingHeader) {
		t.Errorf("got %v, want ErrMissingHeader", err)
	}
}

// A verifier without a secret, or with the zero Secret, accepts nothing: not
// even what is signed with an empty key.
func TestVerifyWantsSecrets(t *testing.T) {
	t.Parallel()
	h := push(t, NewSecret())
	st := newSigning([]Secret{{}})
	st.begin("job_1", signedAt.Unix())
	h.Set(HeaderSignature, string(st.append(nil, payload)))
	for _, secrets := range [][]Secret{nil, {{}}} {
		if err := verifierAt(signedAt, secrets...).Verify(h, payload); !errors.Is(err, ErrNoSecret) {
			t.Errorf("got %v, want ErrNoSecret", err)
		}
	}
}

// Not every server fills an http.Header with canonical names.
func TestVerifyIgnoresCase(t *testing.T) {
	t.Parallel()
	secret, h := NewSecret(), http.Header{}
	for name, values := range push(t, secret) {
		h[strings.ToLower(name)] = values
	}
	if err := verifierAt(signedAt, secret).Verify(h, payload); err != nil {
		t.Error(err)
	}
}

// Flipping any bit of anything signed is seen.
func TestVerifySeesEveryChange(t *testing.T) {
	t.Parallel()
	secret := NewSecret()
	rapid.Check(t, func(r *rapid.T) {
		h, body := push(t, secret), append([]byte(nil), payload...)
		names := []string{HeaderID, HeaderTimestamp, HeaderJobType, HeaderQueue, HeaderAttempt, ""}
		flip := func(b []byte) {
			b[rapid.IntRange(0, len(b)-1).Draw(r, "byte")] ^= 1 << rapid.IntRange(0, 6).Draw(r, "bit")
		}
		if name := rapid.SampledFrom(names).Draw(r, "what"); name == "" {
			flip(body)
		} else {
			value := []byte(h.Get(name))
			flip(value)
			h[http.CanonicalHeaderKey(name)] = []string{string(value)}
		}
		if err := verifierAt(signedAt, secret).Verify(h, body); err == nil {
			r.Fatalf("verified: %v %q", h, body)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	secret := NewSecret()
	h, v := push(b, secret), verifierAt(signedAt, secret)
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Verify(h, payload); err != nil {
			b.Fatal(err)
		}
	}
}

// What a hostile header costs: not more than a good one.
func BenchmarkVerifyHostile(b *testing.B) {
	secret := NewSecret()
	h, v := push(b, secret), verifierAt(signedAt, secret)
	h.Set(HeaderSignature, strings.Repeat("v1,"+strings.Repeat("A", 43)+"= ", 10_000))
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Verify(h, payload); err == nil {
			b.Fatal("verified")
		}
	}
}

// What a Verifier has prepared for its secrets is not used for others.
func TestVerifierIsGivenOtherSecrets(t *testing.T) {
	t.Parallel()
	older, newer := NewSecret(), NewSecret()
	v := verifierAt(signedAt, older)
	for range 3 {
		for _, c := range []struct {
			accepted []Secret
			ok       bool
		}{{[]Secret{older}, true}, {[]Secret{newer}, false}, {[]Secret{newer, older}, true}, {[]Secret{newer, newer}, false}} {
			v.Secrets = c.accepted
			if err := v.Verify(push(t, older), payload); (err == nil) != c.ok {
				t.Errorf("with %d secrets: %v", len(c.accepted), err)
			}
		}
	}
	accepted := []Secret{older}
	v.Secrets = accepted
	if err := v.Verify(push(t, older), payload); err != nil {
		t.Fatal(err)
	}
	accepted[0] = newer // in place
	if err := v.Verify(push(t, older), payload); !errors.Is(err, ErrNoMatchingSignature) {
		t.Errorf("by a secret that is gone: %v", err)
	}
}

func TestVerifyingAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too, and empties pools")
	}
	// What has an environment of its own runs alone: others' allocations would be counted.
	t.Setenv("ALONE", "true")
	secret := NewSecret()
	h, v := push(t, secret), verifierAt(signedAt, secret)
	n := testing.AllocsPerRun(100, func() {
		if err := v.Verify(h, payload); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("verifying allocates %.0f times, want once: the headers", n)
	}
}
