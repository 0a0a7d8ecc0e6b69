package push

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

// The bounds of an answer.
const (
	// MaxAnswerHead bounds status line and headers, each 1xx answer's too.
	MaxAnswerHead = 64 << 10
	// MaxAnswerHeaders is how many header lines an answer may have.
	MaxAnswerHeaders = 128
	// MaxAnswerBody is how much of a body is read and kept.
	MaxAnswerBody = 64 << 10
	// maxInterim is how many 1xx answers may come before the real one.
	maxInterim = 8
	// maxFraming bounds the bytes of a chunked body that are not its content:
	// enough for a full body in chunks of one byte.
	maxFraming = 8 * MaxAnswerBody
	// firstRead is how much is read at once, which holds most answers whole.
	firstRead = 4 << 10
)

// badAnswer says what of an answer is not HTTP or over a limit.
type badAnswer string

func (e badAnswer) Error() string { return string(e) }

// reader reads an answer from a connection through a buffer that grows up to
// MaxAnswerHead and no further.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int
}

// reset makes the reader read src, with an empty buffer of its usual size.
func (b *reader) reset(src io.Reader) {
	if len(b.buf) != firstRead {
		b.buf = make([]byte, firstRead)
	}
	b.src, b.r, b.w = src, 0, 0
}

func (b *reader) buffered() int { return b.w - b.r }

// fill reads once, making room first.
func (b *reader) fill() error {
	if b.r > 0 {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	if b.w == len(b.buf) {
		if len(b.buf) >= MaxAnswerHead {
			return badAnswer("its headers are longer than 64 KiB")
		}
		b.buf = append(b.buf, make([]byte, len(b.buf))...)
	}
	n, err := b.src.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// head returns the next head with its closing empty line. It is valid until
// the next call.
func (b *reader) head() ([]byte, error) {
	for scanned := 0; ; {
		if n := endOfHead(b.buf[b.r:b.w], scanned); n > 0 {
			b.r += n
			return b.buf[b.r-n : b.r], nil
		}
		scanned = max(0, b.buffered()-2)
		if err := b.fill(); err != nil {
			return nil, err
		}
	}
}

// endOfHead returns the length of the head in data, 0 where it is incomplete.
// Up to scanned no head ends. A lone LF ends a line too (RFC 9112, 2.2).
func endOfHead(data []byte, scanned int) int {
	for i := scanned; ; {
		j := bytes.IndexByte(data[i:], '\n')
		if j < 0 {
			return 0
		}
		i += j + 1
		switch rest := data[i:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2
		case i == 1 || i == 2 && data[0] == '\r': // empty from the start
			return i
		}
	}
}

// line returns the next line of a chunked body without its CR LF.
func (b *reader) line(budget *int) ([]byte, error) {
	for {
		if i := bytes.IndexByte(b.buf[b.r:b.w], '\n'); i >= 0 {
			line := b.buf[b.r : b.r+i]
			b.r += i + 1
			if *budget -= i + 1; *budget < 0 {
				return nil, badAnswer("its chunks have too much overhead")
			}
			if i == 0 || bytes.IndexByte(line, '\r') != i-1 {
				return nil, badAnswer("a line of its chunked body does not end in CR LF")
			}
			return line[:i-1], nil
		}
		if b.buffered() >= firstRead {
			return nil, badAnswer("a line of its chunked body is too long")
		}
		if err := b.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// exactly appends the next n bytes to dst.
func (b *reader) exactly(dst []byte, n int) ([]byte, error) {
	for n > 0 {
		if b.buffered() == 0 {
			if err := b.fill(); err != nil {
				return dst, unexpected(err)
			}
		}
		m := min(n, b.buffered())
		dst = append(dst, b.buf[b.r:b.r+m]...)
		b.r += m
		n -= m
	}
	return dst, nil
}

// toEnd appends what follows until the connection ends, up to limit bytes in
// all, and reports whether there was more.
func (b *reader) toEnd(dst []byte, limit int) (body []byte, more bool, err error) {
	for {
		m := min(limit-len(dst), b.buffered())
		dst = append(dst, b.buf[b.r:b.r+m]...)
		if b.r += m; b.buffered() > 0 {
			return dst, true, nil
		}
		if err := b.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return dst, false, err
		}
	}
}

// chunked appends a chunked body up to limit bytes, its trailers read and
// dropped, and reports whether there was more.
func (b *reader) chunked(dst []byte, limit int) (body []byte, more bool, err error) {
	for budget := maxFraming; ; {
		size, err := b.chunkSize(&budget)
		if err != nil {
			return dst, false, err
		}
		if size == 0 {
			return dst, false, b.trailers(&budget)
		}
		if room := limit - len(dst); size > uint64(room) {
			dst, err = b.exactly(dst, room)
			return dst, err == nil, err
		}
		if dst, err = b.exactly(dst, int(size)); err != nil {
			return dst, false, err
		}
		rest, err := b.line(&budget)
		if err == nil && len(rest) > 0 {
			err = badAnswer("a chunk is longer than its size says")
		}
		if err != nil {
			return dst, false, err
		}
	}
}

func (b *reader) chunkSize(budget *int) (uint64, error) {
	line, err := b.line(budget)
	if err != nil {
		return 0, err
	}
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	// ParseUint with an explicit base takes neither sign, prefix nor underscore.
	size, err := strconv.ParseUint(string(digits), 16, 63)
	if err != nil || len(digits) > 16 {
		return 0, badAnswer("a chunk's size is not a hexadecimal number")
	}
	return size, nil
}

// trailers reads the fields behind the last chunk, of which none is wanted.
func (b *reader) trailers(budget *int) error {
	for {
		line, err := b.line(budget)
		if err != nil || len(line) == 0 {
			return err
		}
		if _, _, err := cutField(line); err != nil {
			return err
		}
	}
}

// unexpected turns the end of the stream into an error: more was promised.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
