package job

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration whose text is that of the API: the units of Go
// and days, such as "1m30s", "250ms" or "2d". Days are exactly 24 hours.
type Duration time.Duration

const day = 24 * time.Hour

// ErrInvalidDuration is returned for a text that is not a duration of the API.
var ErrInvalidDuration = errors.New(`not a duration: want a text such as "250ms", "1m30s" or "2d"`)

// ParseDuration reads a duration. It accepts what time.ParseDuration accepts
// and the unit "d" in front of it; negative and overflowing ones are errors.
func ParseDuration(text string) (Duration, error) {
	rest := text
	var days time.Duration
	if i := strings.IndexByte(text, 'd'); i >= 0 {
		n, err := strconv.ParseFloat(text[:i], 64)
		if err != nil || n < 0 || math.IsNaN(n) || n > float64(math.MaxInt64/int64(day)) || strings.ContainsAny(text[:i], "eExXpPiI_+-") {
			return 0, ErrInvalidDuration
		}
		days = time.Duration(math.Round(n * float64(day))) // 0.043d is 1h1m55.2s, not a nanosecond less
		rest = text[i+1:]
		if rest == "" {
			return Duration(days), nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") || d > math.MaxInt64-days {
		return 0, ErrInvalidDuration
	}
	return Duration(days + d), nil
}

// String returns the shortest text that ParseDuration reads back: "2d12h",
// "1m30s", "0s". A negative duration, which ParseDuration refuses, is that of
// time.Duration.
func (d Duration) String() string {
	v := time.Duration(d)
	if v < day {
		return shorten(v.String())
	}
	days := strconv.FormatInt(int64(v/day), 10) + "d"
	if v %= day; v == 0 {
		return days
	}
	return days + shorten(v.String())
}

// shorten drops the zero minutes and seconds that time.Duration writes.
func shorten(s string) string {
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Std returns the duration as the standard library's.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// UnmarshalJSON implements json.Unmarshaler: a JSON string, nothing else.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return ErrInvalidDuration
	}
	return d.UnmarshalText([]byte(text))
}
