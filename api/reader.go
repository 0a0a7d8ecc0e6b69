package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orchestrix/orchestrix/api/jsonscan"
	"github.com/orchestrix/orchestrix/job"
)

// reader decodes one request's body, by the tables of its objects. It goes on
// after a fault, so that a client hears of all of them at once, but not after a
// syntax error.
type reader struct {
	scan jsonscan.Scanner
	// patch says that the body is a merge patch (RFC 7396): null resets a member.
	patch  bool
	path   []step
	faults []job.FieldError
	// broken is the path at which the syntax error was met.
	broken string
	recent [4]string
	oldest int
}

// step is one part of a path: a member's name, or an element's index where the
// name is empty.
type step struct {
	name  string
	index int
}

// maxFaults bounds how many faults of one body are told.
const maxFaults = 50

func (r *reader) reset(body []byte, patch bool) {
	*r = reader{scan: jsonscan.New(body), patch: patch, path: r.path[:0], recent: r.recent}
}

func (r *reader) push(name string) { r.path = append(r.path, step{name: name}) }
func (r *reader) pushIndex(i int)  { r.path = append(r.path, step{index: i}) }

func (r *reader) pop() {
	if r.broken == "" && r.scan.Err() != nil {
		r.broken = r.where()
	}
	r.path = r.path[:len(r.path)-1]
}

// where returns the path as it is shown: jobs[17].retry.max_attempts.
func (r *reader) where() string {
	var b strings.Builder
	for _, s := range r.path {
		switch {
		case s.name == "":
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case b.Len() == 0:
			b.WriteString(s.name)
		default:
			b.WriteString("." + s.name)
		}
	}
	return b.String()
}

// bad records a fault of the value at the path.
func (r *reader) bad(message string) {
	if r.scan.Err() == nil && len(r.faults) < maxFaults {
		r.faults = append(r.faults, job.FieldError{Field: r.where(), Message: message})
	}
}

// wrong skips a value of the wrong type.
func (r *reader) wrong(want string) {
	if r.scan.Peek() == jsonscan.None {
		r.scan.Skip() // which says what is wrong
		return
	}
	r.bad("must be " + want)
	r.scan.Skip()
}

// end returns the error of the whole body: a problem for a syntax error, and the
// faults as they are.
func (r *reader) end() *Problem {
	err := r.scan.End()
	if err == nil {
		return nil
	}
	if r.broken == "" {
		r.broken = "body"
	}
	return &Problem{
		Status: http.StatusBadRequest, Code: "malformed_json", Detail: "the body is not valid JSON: " + err.Error(),
		Errors: []FieldProblem{{r.broken, err.Message}},
	}
}

func (r *reader) text() (string, bool) {
	if r.scan.Peek() != jsonscan.String {
		r.wrong("a string")
		return "", false
	}
	return string(r.scan.Text()), r.scan.Err() == nil
}

// ownText is text as bytes in memory of their own.
func (r *reader) ownText() ([]byte, bool) {
	if r.scan.Peek() != jsonscan.String {
		r.wrong("a string")
		return nil, false
	}
	data := r.scan.Copy()
	return data, r.scan.Err() == nil
}

// base64 is text that is decoded, as encoding/json decodes it: line breaks in it
// are no fault.
func (r *reader) base64() ([]byte, bool) {
	const want = "base64 with padding (RFC 4648, section 4)"
	if r.scan.Peek() != jsonscan.String {
		r.wrong("a string of " + want)
		return nil, false
	}
	text := r.scan.Text()
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		r.bad("must be " + want)
	}
	return data[:n], err == nil && r.scan.Err() == nil
}

// word is text that is likely the same as in the job before.
func (r *reader) word() (string, bool) {
	if r.scan.Peek() != jsonscan.String {
		return r.text()
	}
	return r.intern(r.scan.Text()), r.scan.Err() == nil
}

// intern returns b as a string, without a copy where it was met just before: the
// jobs of a batch mostly share their queue and type.
func (r *reader) intern(b []byte) string {
	const longest = 64
	if len(b) > longest {
		return string(b)
	}
	for _, s := range r.recent {
		if s == string(b) {
			return s
		}
	}
	s := string(b)
	r.recent[r.oldest] = s
	r.oldest = (r.oldest + 1) % len(r.recent)
	return s
}

func (r *reader) integer() (int, bool) {
	if r.scan.Peek() != jsonscan.Number {
		r.wrong("an integer")
		return 0, false
	}
	digits := r.scan.Digits()
	if bytes.ContainsAny(digits, ".eE") {
		r.bad("must be an integer")
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil && r.scan.Err() == nil {
		r.bad("is out of range")
	}
	return n, err == nil
}

func (r *reader) boolean() (bool, bool) {
	if k := r.scan.Peek(); k != jsonscan.True && k != jsonscan.False {
		r.wrong("true or false")
		return false, false
	}
	return r.scan.Bool(), r.scan.Err() == nil
}

func (r *reader) number() (float64, bool) {
	if r.scan.Peek() != jsonscan.Number {
		r.wrong("a number")
		return 0, false
	}
	n, err := strconv.ParseFloat(string(r.scan.Digits()), 64)
	if err != nil && r.scan.Err() == nil {
		r.bad("is out of range")
	}
	return n, err == nil
}

func (r *reader) duration() (job.Duration, bool) {
	const want = `a duration such as "250ms", "1m30s" or "2d", not negative and at most 106751d`
	if r.scan.Peek() != jsonscan.String {
		r.wrong(want)
		return 0, false
	}
	d, err := job.ParseDuration(string(r.scan.Text()))
	if err != nil {
		r.bad("must be " + want)
	}
	return d, err == nil
}

func (r *reader) instant() (time.Time, bool) {
	const want = `a time such as "2026-07-01T12:00:00Z"`
	if r.scan.Peek() != jsonscan.String {
		r.wrong(want)
		return time.Time{}, false
	}
	var t time.Time
	if err := t.UnmarshalText(r.scan.Text()); err != nil {
		r.bad("must be " + want)
		return time.Time{}, false
	}
	return t.UTC(), true
}

// list reads an array, one element at a time.
func (r *reader) list(element func(i int)) bool {
	if r.scan.Peek() != jsonscan.Array {
		r.wrong("an array")
		return false
	}
	r.scan.Enter(jsonscan.Array)
	for i := 0; r.scan.Next(jsonscan.Array); i++ {
		r.pushIndex(i)
		element(i)
		r.pop()
	}
	return true
}

// texts reads an object of strings into m, and returns it. In a merge patch null
// takes an entry away. The names in m are what key makes of them, where it is not nil.
func (r *reader) texts(m map[string]string, key func(string) string) map[string]string {
	if r.scan.Peek() != jsonscan.Object {
		r.wrong("an object of strings")
		return m
	}
	if !r.patch || m == nil {
		m = make(map[string]string)
	}
	var seen map[string]bool
	for r.scan.Enter(jsonscan.Object); r.scan.Next(jsonscan.Object); {
		name := string(r.scan.Key())
		if r.scan.Err() != nil {
			break
		}
		r.push(shownName(name))
		if seen[name] {
			r.bad("is there twice")
		}
		if seen == nil {
			seen = make(map[string]bool)
		}
		seen[name] = true
		if key != nil {
			name = key(name)
		}
		r.entry(m, name)
		r.pop()
	}
	return m
}

func (r *reader) entry(m map[string]string, name string) {
	if r.patch && r.scan.Peek() == jsonscan.Null {
		r.scan.Null()
		delete(m, name)
		return
	}
	if value, ok := r.text(); ok {
		m[name] = value
	}
}

// shownName keeps a long or hostile name from filling a problem.
func shownName(name string) string {
	const longest = 64
	if len(name) <= longest && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) && name != "" {
		return name
	}
	return fmt.Sprintf("%.64q", name)
}
