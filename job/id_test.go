package job_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

// endOfIDs is the last millisecond that 48 bits can tell.
var endOfIDs = time.UnixMilli(1<<48 - 1).UTC()

func drawTime(t *rapid.T, label string) time.Time {
	return time.UnixMilli(rapid.Int64Range(0, endOfIDs.UnixMilli()).Draw(t, label)).UTC()
}

func drawShard(t *rapid.T, label string) int {
	return rapid.IntRange(0, job.MaxShards-1).Draw(t, label)
}

func drawID(t *rapid.T, label string) job.ID {
	var random [9]byte
	copy(random[:], rapid.SliceOfN(rapid.Byte(), 9, 9).Draw(t, label+" random"))
	return job.MakeID(drawTime(t, label+" time"), drawShard(t, label+" shard"), random)
}

func TestIDGolden(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		at     time.Time
		shard  int
		random [9]byte
		want   string
	}{
		{"zero", time.UnixMilli(0), 0, [9]byte{}, "job_00000000000000000000000000"},
		{
			"all bits", endOfIDs, job.MaxShards - 1,
			[9]byte{255, 255, 255, 255, 255, 255, 255, 255, 255},
			"job_7zzzzzzzzzzzzzzzzzzzzzzzzz",
		},
		{
			"ordinary", time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), 37,
			[9]byte{0x0a, 1, 2, 3, 4, 5, 6, 7, 8},
			"job_01kwersrg009d020g30g2gc1r8",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := job.MakeID(tt.at, tt.shard, tt.random).String(); got != tt.want {
				t.Errorf("MakeID = %s, want %s: the text is stored by clients and must not change", got, tt.want)
			}
		})
	}
}

func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, shard := drawTime(t, "at"), drawShard(t, "shard")
		id := job.NewID(at, shard)
		if !id.Time().Equal(at) || id.Time().Location() != time.UTC {
			t.Fatalf("time of %s = %s, want %s", id, id.Time(), at)
		}
		if id.Shard() != shard {
			t.Fatalf("shard of %s = %d, want %d", id, id.Shard(), shard)
		}
		text := id.String()
		if len(text) != job.IDLength {
			t.Fatalf("%q is %d long, want %d", text, len(text), job.IDLength)
		}
		back, err := job.ParseID(text)
		if err != nil || back != id {
			t.Fatalf("ParseID(%q) = %v, %v", text, back, err)
		}
	})
}

func TestIDOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawID(t, "a"), drawID(t, "b")
		byBytes := bytes.Compare(a[:], b[:])
		if byText := strings.Compare(a.String(), b.String()); byText != byBytes {
			t.Fatalf("%s and %s: text order %d, byte order %d", a, b, byText, byBytes)
		}
		if byTime := a.Time().Compare(b.Time()); byTime != 0 && byTime != byBytes {
			t.Fatalf("%s and %s: time order %d, byte order %d", a, b, byTime, byBytes)
		}
	})
}

func TestIDOutsideItsTimes(t *testing.T) {
	t.Parallel()
	for at, want := range map[time.Time]time.Time{
		time.UnixMilli(-1): time.UnixMilli(0),
		{}:                 time.UnixMilli(0),
		time.Date(10_890, 1, 1, 0, 0, 0, 0, time.UTC): endOfIDs,
		time.UnixMilli(1 << 60):                       endOfIDs,
	} {
		id := job.NewID(at, 5)
		if !id.Time().Equal(want) || id.Shard() != 5 {
			t.Errorf("id at %s: time %s, shard %d; want %s, 5", at, id.Time(), id.Shard(), want)
		}
	}
}

func TestNewIDIsUnique(t *testing.T) {
	t.Parallel()
	const n = 100_000
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := make(map[job.ID]bool, n)
	for range n {
		id := job.NewID(at, 1)
		if seen[id] {
			t.Fatalf("%s was given twice within %d", id, len(seen))
		}
		seen[id] = true
	}
}

func TestMakeIDIgnoresTheSpareBits(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1)
	if a, b := job.MakeID(at, 1, [9]byte{0x0f}), job.MakeID(at, 1, [9]byte{0xff}); a != b {
		t.Errorf("%s and %s differ", a, b)
	}
}

func TestIDIsZero(t *testing.T) {
	t.Parallel()
	if !(job.ID{}).IsZero() {
		t.Error("the zero ID is not zero")
	}
	if job.NewID(time.UnixMilli(0), 0).IsZero() {
		t.Error("a new ID is zero")
	}
}

func TestParseIDRefuses(t *testing.T) {
	t.Parallel()
	good := "job_01kwersrg009d020g30g2gc1r8"
	if _, err := job.ParseID(good); err != nil {
		t.Fatalf("ParseID(%q): %v", good, err)
	}
	tests := map[string]string{
		"empty":             "",
		"prefix only":       "job_",
		"no prefix":         good[4:],
		"other prefix":      "jab_" + good[4:],
		"upper-case prefix": "JOB_" + good[4:],
		"upper-case digits": "job_" + strings.ToUpper(good[4:]),
		"too short":         good[:len(good)-1],
		"too long":          good + "0",
		"letter i":          good[:len(good)-1] + "i",
		"letter l":          good[:len(good)-1] + "l",
		"letter o":          good[:len(good)-1] + "o",
		"letter u":          good[:len(good)-1] + "u",
		"space":             good[:len(good)-1] + " ",
		"NUL":               good[:len(good)-1] + "\x00",
		"not ASCII":         good[:len(good)-2] + "é",
		"high byte":         good[:len(good)-1] + "\xff",
		"over 128 bits":     "job_8" + strings.Repeat("0", 25),
		"line break":        good[:len(good)-1] + "\n",
		"very long":         good + strings.Repeat("0", 1<<20),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := job.ParseID(text)
			if !errors.Is(err, job.ErrInvalidID) || !id.IsZero() {
				t.Errorf("ParseID = %v, %v; want the zero ID and ErrInvalidID", id, err)
			}
		})
	}
}

func TestIDJSON(t *testing.T) {
	t.Parallel()
	id := job.NewID(time.UnixMilli(1_700_000_000_000), 9)
	data, err := json.Marshal(map[job.ID]job.ID{id: id})
	if err != nil || string(data) != fmt.Sprintf("{%q:%q}", id, id) {
		t.Fatalf("Marshal = %s, %v", data, err)
	}
	var back map[job.ID]job.ID
	if err := json.Unmarshal(data, &back); err != nil || back[id] != id {
		t.Fatalf("Unmarshal = %v, %v", back, err)
	}
	kept := id
	if err := json.Unmarshal([]byte(`"job_nonsense"`), &kept); err == nil || kept != id {
		t.Errorf("a bad text gave %v and the ID %s", err, kept)
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "job_", "job_01kwersrg009d020g30g2gc1r8", "job_7zzzzzzzzzzzzzzzzzzzzzzzzz", "job_80000000000000000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := job.ParseID(text)
		if err != nil {
			return
		}
		if id.String() != text {
			t.Errorf("%q was read as %s: an id has one text", text, id)
		}
		if s := id.Shard(); s < 0 || s >= job.MaxShards {
			t.Errorf("%q lies in shard %d", text, s)
		}
	})
}

// The placement of queues is part of the store's format: these never change.
func TestShardOfGolden(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		shards int
		want   int
	}{
		{"", 64, 1},
		{"default", 1, 0},
		{"default", 64, 40},
		{"default", 4096, 232},
		{"billing.invoices", 64, 50},
		{"emails", 7, 3},
		{"emails", 64, 27},
	}
	for _, tt := range tests {
		if got := job.ShardOf(tt.name, tt.shards); got != tt.want {
			t.Errorf("ShardOf(%q, %d) = %d, want %d", tt.name, tt.shards, got, tt.want)
		}
	}
}

func TestShardOfSpreads(t *testing.T) {
	t.Parallel()
	const names, shards = 64_000, 64
	for _, pattern := range []string{"queue-%d", "tenant.%d.orders", "%d"} {
		counts := make([]int, shards)
		for i := range names {
			counts[job.ShardOf(fmt.Sprintf(pattern, i), shards)]++
		}
		// 1000 are expected in each; six standard deviations are 190.
		if lo, hi := slices.Min(counts), slices.Max(counts); lo < 810 || hi > 1190 {
			t.Errorf("%q: shards hold from %d to %d names, want about %d", pattern, lo, hi, names/shards)
		}
	}
}

func TestShardOfStaysInside(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name, shards := rapid.String().Draw(t, "name"), rapid.IntRange(1, job.MaxShards).Draw(t, "shards")
		if got := job.ShardOf(name, shards); got < 0 || got >= shards {
			t.Fatalf("ShardOf(%q, %d) = %d", name, shards, got)
		}
	})
}

func BenchmarkNewID(b *testing.B) {
	at := time.UnixMilli(1_700_000_000_000)
	b.ReportAllocs()
	for b.Loop() {
		job.NewID(at, 7)
	}
}

func BenchmarkParseID(b *testing.B) {
	text := job.NewID(time.UnixMilli(1_700_000_000_000), 7).String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := job.ParseID(text); err != nil {
			b.Fatal(err)
		}
	}
}
