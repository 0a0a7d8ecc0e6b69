// Package jsonscan reads one JSON document as a stream of tokens, without
// reflection and without building a tree.
//
// It exists for the one path where decoding is most of the cost: a batch of
// jobs, of which the envelope is read and the payloads are kept as the exact
// bytes that were sent. A document is read in one pass that validates all of
// it, payloads included, against RFC 8259, as UTF-8, and against a bound on
// nesting.
//
// It promises that what it accepts, encoding/json accepts too, with the same
// meaning. It refuses more: bytes that are not UTF-8, half a surrogate pair in
// a string that is decoded, and values nested deeper than MaxDepth. It does not
// refuse a member that occurs twice: what it skips it does not remember; the
// reader of an object, who knows the members' names, has to.
package jsonscan

import (
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may be nested, the outermost counting
// as one.
const MaxDepth = 64

// Error says what is wrong with a document, and where.
type Error struct {
	// Offset counts bytes from the document's beginning.
	Offset  int
	Message string
}

// Error returns the message with its offset.
func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Message, e.Offset) }

// Kind is what the next value is.
type Kind byte

// The kinds of values. None stands for the end, an error, or no value at all.
const (
	None   Kind = 0
	Object Kind = '{'
	Array  Kind = '['
	String Kind = '"'
	Number Kind = '0'
	True   Kind = 't'
	False  Kind = 'f'
	Null   Kind = 'n'
)

// Scanner reads one document. Its first error stays: every later call does
// nothing and returns a zero value, so that a reader checks Err once at its
// end. The slices that it returns lie within the document. A Scanner must not
// be used concurrently.
type Scanner struct {
	data  []byte
	pos   int
	depth int
	fresh bool // an object or array was just entered: no comma comes first
	err   *Error
}

// New returns a Scanner at the beginning of a document.
func New(data []byte) Scanner { return Scanner{data: data} }

// Err returns the first error, or nil.
func (s *Scanner) Err() *Error { return s.err }

// End reads to the end of the document: after its value only white space may
// follow. It returns the first error.
func (s *Scanner) End() *Error {
	if s.space(); s.err == nil && s.pos < len(s.data) {
		s.fail("something follows the JSON value")
	}
	return s.err
}

// Peek returns the kind of the next value without reading it.
func (s *Scanner) Peek() Kind {
	s.space()
	if s.err != nil || s.pos >= len(s.data) {
		return None
	}
	switch c := s.data[s.pos]; {
	case c == '{', c == '[', c == '"', c == 't', c == 'f', c == 'n':
		return Kind(c)
	case c == '-', isDigit(c):
		return Number
	}
	return None
}

// Enter reads the beginning of an object or array. Loop over it with Next.
func (s *Scanner) Enter(kind Kind) bool {
	if s.Peek() != kind || (kind != Object && kind != Array) {
		s.fail("want " + string(rune(kind)))
		return false
	}
	if s.depth++; s.depth > MaxDepth {
		s.fail(fmt.Sprintf("nested deeper than %d levels", MaxDepth))
		return false
	}
	s.pos++
	s.fresh = true
	return true
}

// Next reports whether another member or element follows in the object or array
// that was entered last, and reads its end where none does.
func (s *Scanner) Next(kind Kind) bool {
	s.space()
	if s.err != nil {
		return false
	}
	end, fresh := byte(kind)+2, s.fresh // '{'+2 is '}', '['+2 is ']'
	s.fresh = false
	switch c := s.byte(); {
	case c == end:
		s.pos++
		s.depth--
		return false
	case fresh:
		return true
	case c == ',':
		s.pos++
		return true
	}
	s.fail("want , or " + string(rune(end)))
	return false
}

// Key reads a member's name and the colon behind it.
func (s *Scanner) Key() []byte {
	if s.Peek() != String {
		s.fail("want a member's name in quotes")
		return nil
	}
	key := s.Text()
	s.colon()
	return key
}

func (s *Scanner) colon() {
	if s.space(); s.byte() != ':' {
		s.fail("want : after a member's name")
		return
	}
	s.pos++
}

// Text reads a string and returns what it stands for.
func (s *Scanner) Text() []byte {
	raw, escaped := s.text()
	if s.err != nil || !escaped {
		return raw
	}
	text, ok := unescape(raw)
	if !ok {
		s.pos -= len(raw)
		s.fail("half a surrogate pair in a string")
		return nil
	}
	return text
}

// Copy reads a string and returns what it stands for in memory of its own, with
// one copy whether there are escapes in it or not.
func (s *Scanner) Copy() []byte {
	start := s.pos
	text := s.Text()
	if s.err != nil {
		return nil
	}
	if len(text) == s.pos-start-len(`""`) { // it has no escapes: it lies in the document
		return append(make([]byte, 0, len(text)), text...)
	}
	return text
}

// Digits reads a number and returns it as it is written.
func (s *Scanner) Digits() []byte {
	s.space()
	start := s.pos
	s.number()
	return s.since(start)
}

// Bool reads true or false.
func (s *Scanner) Bool() bool {
	is := s.Peek() == True
	if is {
		s.literal("true")
	} else {
		s.literal("false")
	}
	return is && s.err == nil
}

// Null reads null.
func (s *Scanner) Null() {
	s.space()
	s.literal("null")
}

// Skip reads a value of any kind and returns its exact bytes, without the white
// space around it.
func (s *Scanner) Skip() []byte {
	s.space()
	start := s.pos
	s.value()
	return s.since(start)
}

// Offset is where the Scanner stands.
func (s *Scanner) Offset() int { return s.pos }

// value skips one value. It recurses at most MaxDepth deep.
func (s *Scanner) value() {
	switch kind := s.Peek(); kind {
	case Object:
		for s.Enter(kind); s.Next(kind); {
			s.member()
			s.value()
		}
	case Array:
		for s.Enter(kind); s.Next(kind); {
			s.value()
		}
	case String:
		s.text()
	case Number:
		s.number()
	case True:
		s.literal("true")
	case False:
		s.literal("false")
	case Null:
		s.literal("null")
	default:
		s.fail("want a JSON value")
	}
}

// member skips a member's name, which need not be decoded.
func (s *Scanner) member() {
	if s.Peek() != String {
		s.fail("want a member's name in quotes")
		return
	}
	s.text()
	s.colon()
}

// text reads a string and returns what stands between its quotes.
func (s *Scanner) text() (raw []byte, escaped bool) {
	if s.err != nil {
		return nil, false
	}
	s.pos++ // the quote, seen by Peek
	start := s.pos
	for {
		s.pos += plainRun(s.data[s.pos:])
		switch c := s.byte(); {
		case s.pos >= len(s.data):
			s.fail("a string has no end")
		case c == '"':
			s.pos++
			return s.data[start : s.pos-1], escaped
		case c == '\\':
			escaped = true
			s.escape()
		case c < ' ':
			s.fail("a control character in a string")
		default:
			s.rune()
		}
		if s.err != nil {
			return nil, false
		}
	}
}

func (s *Scanner) rune() {
	r, size := utf8.DecodeRune(s.data[s.pos:])
	if r == utf8.RuneError && size <= 1 {
		s.fail("a string is not UTF-8")
		return
	}
	s.pos += size
}

func (s *Scanner) escape() {
	s.pos++
	switch c := s.byte(); c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
	case 'u':
		if _, ok := hex4(s.data[s.pos+1:]); !ok {
			s.fail(`want four hex digits after \u`)
			return
		}
		s.pos += 5
	default:
		s.fail("an unknown escape in a string")
	}
}

func (s *Scanner) number() {
	if s.byte() == '-' {
		s.pos++
	}
	if s.byte() == '0' {
		if s.pos++; isDigit(s.byte()) {
			s.fail("a number must not begin with 0")
		}
	} else {
		s.digits()
	}
	if s.byte() == '.' {
		s.pos++
		s.digits()
	}
	if c := s.byte(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.byte(); c == '+' || c == '-' {
			s.pos++
		}
		s.digits()
	}
}

func (s *Scanner) digits() {
	if !isDigit(s.byte()) {
		s.fail("want a digit")
		return
	}
	for isDigit(s.byte()) {
		s.pos++
	}
}

func (s *Scanner) literal(word string) {
	if end := s.pos + len(word); end > len(s.data) || string(s.data[s.pos:end]) != word {
		s.fail("want a JSON value")
		return
	}
	s.pos += len(word)
}

func (s *Scanner) space() {
	for s.pos < len(s.data) && isSpace(s.data[s.pos]) {
		s.pos++
	}
}

// byte returns the next byte, or 0 at the end, which is no JSON.
func (s *Scanner) byte() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *Scanner) since(start int) []byte {
	if s.err != nil {
		return nil
	}
	return s.data[start:s.pos:s.pos]
}

func (s *Scanner) fail(message string) {
	if s.err != nil {
		return
	}
	if s.pos >= len(s.data) {
		message = "the document ends too early"
	}
	s.err = &Error{Offset: s.pos, Message: message}
}
