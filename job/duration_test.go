package job_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

const day = 24 * time.Hour

func TestParseDuration(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want time.Duration
	}{
		{"0", 0},
		{"0s", 0},
		{"0d", 0},
		{"1ns", 1},
		{"1µs", time.Microsecond}, // U+00B5, micro sign
		{"1μs", time.Microsecond}, // U+03BC, Greek mu
		{"250ms", 250 * time.Millisecond},
		{"1m30s", 90 * time.Second},
		{"90s", 90 * time.Second},
		{".5s", 500 * time.Millisecond},
		{"1.5h", 90 * time.Minute},
		{"1d", day},
		{"2d", 2 * day},
		{"0.5d", 12 * time.Hour},
		{".5d", 12 * time.Hour},
		{"0.7d", 16*time.Hour + 48*time.Minute},
		{"0.043d", time.Hour + time.Minute + 55*time.Second + 200*time.Millisecond}, // one less without rounding
		{"1.1d", 26*time.Hour + 24*time.Minute},
		{"2d12h", 60 * time.Hour},
		{"1d1ns", day + 1},
		{"007d", 7 * day},
		{"365d", 365 * day},
		{"106751d", 106751 * day},
		{"106751d23h47m16.854775807s", math.MaxInt64},
		{"2562047h47m16.854775807s", math.MaxInt64},
	}
	for _, tt := range tests {
		got, err := job.ParseDuration(tt.text)
		if err != nil || got.Std() != tt.want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", tt.text, got.Std(), err, tt.want)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "d", "s", ".d", "1", "1.5", "-1s", "-0s", "+1s", "-1d", "+1d", "1d-1h", "1d+1h", "1d -1h",
		"1 d", " 1d", "1d ", "1D", "1d1d", "1h1d", "1s2", "1w", "1y", "1mo",
		"1e9d", "1E2d", "0x1p4d", "0x10d", "1_0d", "1_000s", "infd", "Infd", "infinityd", "nand", "NaNd", "1e9s", "NaN", "inf",
		"9999999999d", "106752d", "106751.99999d", "106751d24h", "106751d23h47m16.854775808s",
		"9223372036854775808ns", "99999999999999999999h", "2562048h", strings.Repeat("9", 400) + "d",
		"1\x00s", "1s\n", "١d", "１d", "१s", "٣s", "1ｄ", "\xff", "\xffd", "null", `"1s"`,
	} {
		got, err := job.ParseDuration(text)
		if !errors.Is(err, job.ErrInvalidDuration) || got != 0 {
			t.Errorf("ParseDuration(%q) = %v, %v; want 0 and ErrInvalidDuration", text, got.Std(), err)
		}
	}
}

func TestDurationString(t *testing.T) {
	t.Parallel()
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{1, "1ns"},
		{1500 * time.Microsecond, "1.5ms"},
		{time.Second, "1s"},
		{time.Minute, "1m"},
		{10 * time.Minute, "10m"},
		{90 * time.Second, "1m30s"},
		{time.Hour, "1h"},
		{10 * time.Hour, "10h"},
		{time.Hour + 10*time.Minute, "1h10m"},
		{time.Hour + time.Second, "1h0m1s"},
		{20*time.Hour + 20*time.Minute + 20*time.Second, "20h20m20s"},
		{day, "1d"},
		{day - 1, "23h59m59.999999999s"},
		{60 * time.Hour, "2d12h"},
		{7*day + time.Minute, "7d1m"},
		{10*day + 500*time.Millisecond, "10d500ms"},
		{math.MaxInt64, "106751d23h47m16.854775807s"},
		{-time.Minute, "-1m"},
		{-48 * time.Hour, "-48h"},
		{math.MinInt64, "-2562047h47m16.854775808s"},
	}
	for _, tt := range tests {
		if got := job.Duration(tt.d).String(); got != tt.want {
			t.Errorf("String of %v = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	t.Parallel()
	units := []time.Duration{1, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour, day}
	rapid.Check(t, func(t *rapid.T) {
		// Whole multiples of a unit, where the zero parts are dropped, are drawn
		// as often as any number.
		unit := rapid.SampledFrom(units).Draw(t, "unit")
		d := job.Duration(rapid.Int64Range(0, math.MaxInt64/int64(unit)).Draw(t, "n") * int64(unit))
		back, err := job.ParseDuration(d.String())
		if err != nil || back != d {
			t.Fatalf("ParseDuration(%q) = %v, %v; want %v", d.String(), back.Std(), err, d.Std())
		}
	})
}

func TestDurationJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(struct{ D job.Duration }{job.Duration(36 * time.Hour)})
	if err != nil || string(data) != `{"D":"1d12h"}` {
		t.Fatalf("Marshal = %s, %v", data, err)
	}
	var back struct{ D job.Duration }
	if err := json.Unmarshal(data, &back); err != nil || back.D.Std() != 36*time.Hour {
		t.Errorf("Unmarshal = %v, %v", back.D.Std(), err)
	}
	for _, in := range []string{`1`, `1.5`, `-1`, `null`, `true`, `{}`, `[]`, `["1s"]`, `""`, `"1"`, `"-1s"`, `"1e9d"`} {
		d := job.Duration(7)
		if err := d.UnmarshalJSON([]byte(in)); !errors.Is(err, job.ErrInvalidDuration) || d != 7 {
			t.Errorf("UnmarshalJSON(%s) = %v and the value %v", in, err, d)
		}
	}
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	var d job.Duration
	if err := d.UnmarshalText([]byte("2d")); err != nil || d.Std() != 2*day {
		t.Fatalf("UnmarshalText = %v, %v", d.Std(), err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "2d" {
		t.Errorf("MarshalText = %s, %v", text, err)
	}
	if err := d.UnmarshalText([]byte("2 days")); !errors.Is(err, job.ErrInvalidDuration) || d.Std() != 2*day {
		t.Errorf("a bad text gave %v and the value %v", err, d)
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"", "1s", "2d12h", "1e9d", "9999999999d", "-1d", "0.7d", "1d-1h", "١d", "nand", "0x1d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := job.ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q was read as %d", text, d)
		}
		if std, err := time.ParseDuration(text); err == nil && std != d.Std() {
			t.Fatalf("%q was read as %v, by the standard library as %v", text, d.Std(), std)
		}
		if back, err := job.ParseDuration(d.String()); err != nil || back != d {
			t.Fatalf("%q: ParseDuration(%q) = %v, %v", text, d.String(), back.Std(), err)
		}
	})
}
