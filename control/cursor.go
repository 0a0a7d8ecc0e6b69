package control

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orchestrix/orchestrix/job"
)

// A cursor is the place where a page ended and a check that it belongs to the
// query. The check is no secret and keeps nobody out: it tells a client that
// mixed up two queries, or a text, before the answer is silently wrong.

const cursorCheck = 8

var errCursor = errors.New("must be the next_cursor of a page of the same query")

var cursorText = base64.RawURLEncoding.Strict()

// encodeCursor returns the text of a place in the listing that query describes.
func encodeCursor(place, query string) string {
	sum := sha256.Sum256([]byte(query + "\x00" + place))
	return cursorText.EncodeToString(append(sum[:cursorCheck:cursorCheck], place...))
}

// decodeCursor returns the place that encodeCursor was given with that query.
func decodeCursor(text, query string) (place string, err error) {
	raw, err := cursorText.DecodeString(text)
	if err != nil || len(raw) < cursorCheck {
		return "", errCursor
	}
	place = string(raw[cursorCheck:])
	if encodeCursor(place, query) != text {
		return "", errCursor
	}
	return place, nil
}

// key describes the query without its place; the limit may change between
// pages.
func (q *JobQuery) key() string {
	labels := fmt.Appendf(nil, "jobs %q %q %q %q %d %d", q.Status, q.Queue, q.Type, q.Key, q.CreatedAfter.UnixNano(), q.CreatedBefore.UnixNano())
	for _, k := range slices.Sorted(maps.Keys(q.Labels)) {
		labels = fmt.Appendf(labels, " %q=%q", k, q.Labels[k])
	}
	return string(labels)
}

func (q *JobQuery) cursorAfter(last job.ID) string { return encodeCursor(string(last[:]), q.key()) }

func (q *JobQuery) before() (job.ID, error) {
	place, err := decodeCursor(q.Cursor, q.key())
	if err != nil || len(place) != len(job.ID{}) {
		return job.ID{}, errCursor
	}
	return job.ID([]byte(place)), nil
}
