package push

import (
	"bytes"
	"strings"
)

// HeaderField is one line of a head, as it was on the wire.
type HeaderField struct{ Name, Value string }

// Trace is what a push sent and was answered, for a person to see. It holds
// credentials: who shows it leaves them out.
type Trace struct {
	// Request is the request's headers; nil where nothing was sent.
	Request []HeaderField
	// Answer is the headers of the final answer; nil where none came. It has as
	// many fields and bytes as an answer may have at most.
	Answer []HeaderField
}

// fieldsOf returns the fields of a head behind its first line; what is none is
// left out.
func fieldsOf(head []byte) []HeaderField {
	var out []HeaderField
	_, rest, _ := bytes.Cut(head, []byte("\n"))
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		name, value, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte(":"))
		if ok {
			out = append(out, HeaderField{shown(name), shown(bytes.Trim(value, " \t"))})
		}
	}
	return out
}

func shown(b []byte) string { return strings.ToValidUTF8(string(b), "?") }
