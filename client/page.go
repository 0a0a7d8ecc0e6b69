package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// NextCursor is the place where the next page begins; empty after the last.
	// A page may be short, even empty, and still have a next one.
	NextCursor string `json:"next_cursor"`
}

// PageOptions choose one page of a list.
type PageOptions struct {
	// Limit is the greatest number of items in a page; 0 leaves it to the server.
	Limit int
	// Cursor is a NextCursor; empty begins at the newest.
	Cursor string
}

func (p PageOptions) addTo(query url.Values) url.Values {
	if query == nil {
		query = url.Values{}
	}
	if p.Limit > 0 {
		query.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Cursor != "" {
		query.Set("cursor", p.Cursor)
	}
	return query
}

func list[T any](ctx context.Context, c *Client, path string, query url.Values) (Page[T], error) {
	var page Page[T]
	err := c.do(ctx, call{method: http.MethodGet, path: path, query: query}, &page)
	return page, err
}

// walk walks a whole list. what says in an error what was tried.
func walk[T any](ctx context.Context, c *Client, path, what string) iter.Seq2[T, error] {
	return all(func(page PageOptions) (Page[T], error) {
		out, err := list[T](ctx, c, path, page.addTo(nil))
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return out, err
	}, PageOptions{})
}

// all walks the pages that fetch returns. It ends after the first error.
func all[T any](fetch func(PageOptions) (Page[T], error), options PageOptions) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := fetch(options)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			options.Cursor = page.NextCursor
		}
	}
}
