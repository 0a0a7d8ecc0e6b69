package worker

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// receive reads, verifies and understands a request, in this order: nothing that
// it says is believed before, and nothing is decoded.
func (m *Mux) receive(w http.ResponseWriter, r *http.Request) (*Push, *refusal) {
	if refused := m.refuseUnread(w, r); refused != nil {
		// Else net/http would wait for the body before it answers.
		w.Header().Set("Connection", "close")
		return nil, refused
	}
	body, refused := m.readBody(w, r)
	if refused != nil {
		return nil, refused
	}
	if err := m.verifier.Load().Verify(r.Header, body); err != nil {
		return nil, refuse(http.StatusUnauthorized, "not a push for this worker: %v", err)
	}
	p, err := newPush(r.Header, body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	return p, m.refuseReplay(p)
}

// refuseUnread refuses a request whose body is not worth reading.
func (m *Mux) refuseUnread(w http.ResponseWriter, r *http.Request) *refusal {
	switch r.Method {
	case http.MethodPost, http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		w.Header().Set("Allow", "POST, GET, PUT, PATCH, DELETE")
		return refuse(http.StatusMethodNotAllowed, "a push has no method %.20q", r.Method)
	}
	for _, key := range [...]string{keyID, keyTimestamp, keySignature, keyOwn} {
		if len(r.Header[key]) == 0 {
			return refuse(http.StatusUnauthorized, "not a push for this worker: header %s is missing", key)
		}
	}
	if r.ContentLength > m.maxBody {
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", m.maxBody)
	}
	return nil
}

func (m *Mux) refuseReplay(p *Push) *refusal {
	switch m.replays.see(p, time.Now()) {
	case seenBefore:
		if p.Type == typeCancel {
			return nil // a server that missed the answer says it again, and an attempt ends once
		}
		return refuse(http.StatusConflict, "this push has been received before")
	case tooOldToKnow:
		r := refuse(http.StatusServiceUnavailable, "more pushes than can be remembered: this one is too old to know whether it is new")
		r.after = time.Second
		return r
	}
	return nil
}

// firstRead is how much memory a request gets for what it says of its length.
const firstRead = 64 << 10

// readBody reads a body of at most maxBody bytes within bodyTimeout.
func (m *Mux) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	control := http.NewResponseController(w)
	// Not every ResponseWriter has a connection that it could be set on.
	_ = control.SetReadDeadline(time.Now().Add(m.bodyTimeout))
	body, err := readAll(http.MaxBytesReader(w, r.Body, m.maxBody), r.ContentLength)
	if err != nil {
		return nil, bodyRefusal(err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

func bodyRefusal(err error) *refusal {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, "the body did not come in time")
	default:
		return refuse(http.StatusBadRequest, "the body cannot be read")
	}
}

// readAll is io.ReadAll with a first guess, which a wrong length cannot make
// expensive.
func readAll(r io.Reader, length int64) ([]byte, error) {
	guess := int64(512)
	if length >= 0 {
		guess = min(length, firstRead) + 1 // one more, to see the end
	}
	body := make([]byte, 0, guess)
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}
