package job

import (
	"fmt"
	"mime"
	"strings"
)

// MaxContentTypeLength bounds a payload's content type in bytes.
const MaxContentTypeLength = 256

// The content types of payloads that name none.
const (
	ContentTypeJSON   = "application/json"
	ContentTypeText   = "text/plain; charset=utf-8"
	ContentTypeBinary = "application/octet-stream"
)

// CheckContentType returns what a payload's content type must be where s is not
// one, and "" where it is: a media type with its parameters (RFC 9110, 8.3.1) of
// at most 256 bytes of printable ASCII. It goes into a header as it is.
func CheckContentType(s string) string {
	if _, ok := mediaType(s); ok {
		return ""
	}
	return fmt.Sprintf("must be a media type such as text/csv or text/plain; charset=utf-8, of at most %d bytes", MaxContentTypeLength)
}

// IsJSON reports whether a content type says that the content is JSON:
// application/json, or a media type that ends in +json.
func IsJSON(contentType string) bool {
	if contentType == ContentTypeJSON {
		return true
	}
	kind, ok := mediaType(contentType)
	return ok && (kind == ContentTypeJSON || strings.HasSuffix(kind, "+json"))
}

// mediaType returns the type without its parameters.
func mediaType(s string) (kind string, ok bool) {
	if len(s) > MaxContentTypeLength || strings.TrimSpace(s) != s || strings.ContainsFunc(s, isNotPrintable) {
		return "", false
	}
	kind, _, err := mime.ParseMediaType(s)
	// The parser takes a disposition too, which is one word.
	return kind, err == nil && strings.Contains(kind, "/")
}

func isNotPrintable(r rune) bool { return r < ' ' || r > '~' }
