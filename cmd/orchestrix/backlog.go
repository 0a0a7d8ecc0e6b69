package main

import (
	"fmt"
	"strconv"

	"github.com/orchestrix/orchestrix/client"
)

// backlogText is what waits in a queue, and how much may, for people.
func backlogText(q *client.Queue) string {
	text := strconv.FormatInt(q.Bytes, 10) + " bytes"
	if q.MaxPending > 0 {
		text += fmt.Sprintf(", at most %d jobs", q.MaxPending)
	}
	if q.MaxBytes > 0 {
		text += fmt.Sprintf(", at most %d bytes", q.MaxBytes)
	}
	return text
}
