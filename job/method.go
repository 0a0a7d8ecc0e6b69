package job

import "slices"

// The methods that a job with a destination of its own may be sent with. HEAD
// is none of them: its answer has no content, so that there would be no result.
const (
	MethodGet    = "GET"
	MethodPost   = "POST"
	MethodPut    = "PUT"
	MethodPatch  = "PATCH"
	MethodDelete = "DELETE"
)

// Methods lists the methods.
func Methods() []string {
	return []string{MethodGet, MethodPost, MethodPut, MethodPatch, MethodDelete}
}

// ValidMethod reports whether s is one of Methods; they are in upper case.
func ValidMethod(s string) bool { return slices.Contains(Methods(), s) }
