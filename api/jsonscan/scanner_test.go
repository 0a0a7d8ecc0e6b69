package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/orchestrix/orchestrix/api/jsonscan"
)

// depthOf returns how deep a valid document is nested.
func depthOf(data []byte) int {
	deepest, depth, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}', c == ']':
			depth--
		}
	}
	return deepest
}

// checkSkip compares Skip with encoding/json as the oracle.
func checkSkip(t *testing.T, data []byte) {
	t.Helper()
	s := jsonscan.New(data)
	raw := s.Skip()
	err := s.End()
	valid := json.Valid(data) && utf8.Valid(data)
	if valid && depthOf(data) > jsonscan.MaxDepth {
		valid = false
	}
	if (err == nil) != valid {
		t.Fatalf("Skip of %q: error %v, valid %t", data, err, valid)
	}
	if err == nil && !bytes.Equal(raw, bytes.Trim(data, " \t\r\n")) {
		t.Fatalf("Skip of %q returned %q", data, raw)
	}
	if err != nil && (err.Offset < 0 || err.Offset > len(data)) {
		t.Fatalf("Skip of %q: offset %d is outside", data, err.Offset)
	}
}

var documents = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `truex`, `0`, `-0`, `01`, `-`, `1.`, `1.5`, `.5`, `1e5`, `1E+5`, `1e`, `1e-`, `--1`, `+1`, `Infinity`, `NaN`,
	`""`, `"a"`, `"`, `"\"`, `"\\"`, `"\u00e9"`, `"\u12"`, `"\u12x4"`, `"\x"`, "\"\n\"", "\"\x00\"", "\"\x7f\"", "\"é\"", "\"\xff\"", "\"\xc3\"", "\"12345678\xc3\"", `"\ud83d\ude00"`, `"\ud83d"`,
	`[]`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `[`, `]`, `[1`, `[}`, `{}`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{1:1}`, `{,}`, `{]`, `{"a":1 "b":2}`,
	` { "a" : [ 1 , { "b" : "c" } ] } `, `1 2`, `{}{}`, "\ufeff{}", `"12345678"`, `"1234567"`, `"123456789\"0"`, "\"1234567\x1f\"", "/* */1", "'a'",
}

func TestSkip(t *testing.T) {
	t.Parallel()
	for _, text := range documents {
		checkSkip(t, []byte(text))
	}
	for _, n := range []int{jsonscan.MaxDepth, jsonscan.MaxDepth + 1, 100_000} {
		checkSkip(t, []byte(strings.Repeat("[", n)+strings.Repeat("]", n)))
		checkSkip(t, []byte(strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n)))
	}
}

// TestSkipFindsEveryByte puts each byte at each place of a long string: the
// eight-at-a-time scan must miss none.
func TestSkipFindsEveryByte(t *testing.T) {
	t.Parallel()
	for at := range 24 {
		for c := range 256 {
			text := []byte(`"` + strings.Repeat("x", 24) + `"`)
			text[1+at] = byte(c)
			checkSkip(t, text)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, text := range documents {
		var want string
		if json.Unmarshal([]byte(text), &want) != nil || !strings.Contains(text, `"`) || !utf8.ValidString(text) {
			continue
		}
		s := jsonscan.New([]byte(text))
		s.Peek()
		got := string(s.Text())
		err := s.End()
		if strings.Contains(want, "\ufffd") {
			if err == nil {
				t.Errorf("Text of %s = %q: half a surrogate pair was read", text, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("Text of %s = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	s := jsonscan.New([]byte(` {"\u0061":[1, -2.5e3],"b":true,"c":null,"d":{"e":[]}, "f":false}`))
	var got []string
	for s.Enter(jsonscan.Object); s.Next(jsonscan.Object); {
		key := string(s.Key())
		switch s.Peek() {
		case jsonscan.Array:
			for s.Enter(jsonscan.Array); s.Next(jsonscan.Array); {
				got = append(got, key+"="+string(s.Digits()))
			}
		case jsonscan.True, jsonscan.False:
			got = append(got, key+"="+map[bool]string{true: "yes", false: "no"}[s.Bool()])
		case jsonscan.Null:
			s.Null()
			got = append(got, key+"=null")
		default:
			got = append(got, key+"="+string(s.Skip()))
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if want := `a=1 a=-2.5e3 b=yes c=null d={"e":[]} f=no`; strings.Join(got, " ") != want {
		t.Errorf("read %q, want %q", strings.Join(got, " "), want)
	}
}

func TestErrorsStay(t *testing.T) {
	t.Parallel()
	s := jsonscan.New([]byte(`{"a":x,"b":1}`))
	s.Enter(jsonscan.Object)
	s.Next(jsonscan.Object)
	s.Key()
	s.Skip()
	first := s.Err()
	if first == nil || first.Offset != 5 || first.Error() != "want a JSON value at byte 5" {
		t.Fatalf("error = %v", first)
	}
	if s.Next(jsonscan.Object) || s.Enter(jsonscan.Array) || s.Key() != nil || s.Text() != nil || s.Digits() != nil || s.Bool() || s.Skip() != nil {
		t.Error("something was read after the error")
	}
	if s.End() != first {
		t.Errorf("the error became %v", s.End())
	}
}

func FuzzSkip(f *testing.F) {
	for _, text := range documents {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkSkip(t, data) })
}

func BenchmarkSkip(b *testing.B) {
	payload, err := json.Marshal(map[string]any{"text": strings.Repeat("lorem ipsum ", 80), "n": 12345, "list": []int{1, 2, 3}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		s := jsonscan.New(payload)
		if s.Skip(); s.End() != nil {
			b.Fatal(s.Err())
		}
	}
}
