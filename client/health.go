package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Readiness is what a server says of itself when it is ready.
type Readiness struct {
	// At is the server's time, to the second; zero where it does not tell.
	At time.Time
	// Secrets is how they are stored: plain or encrypted.
	Secrets string
}

// maxReadiness bounds the answer, which is a line.
const maxReadiness = 4 << 10

// Ready returns nil error where the server is ready to take jobs. It does not
// repeat the call: whoever asks wants to know how it is now.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	req, err := c.request(ctx, call{method: http.MethodGet, path: "/readyz"}, nil)
	if err != nil {
		return Readiness{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Readiness{}, fmt.Errorf("ask whether the server is ready: %w", err)
	}
	defer resp.Body.Close()
	at, _ := http.ParseTime(resp.Header.Get("Date"))
	if resp.StatusCode != http.StatusOK {
		return Readiness{At: at}, problemOf(resp, nil, time.Now())
	}
	var body struct {
		Secrets string `json:"secrets"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&body); err != nil {
		return Readiness{}, fmt.Errorf("read whether the server is ready: %w", err)
	}
	return Readiness{at, body.Secrets}, nil
}
