package job_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

func TestUniqueValidate(t *testing.T) {
	t.Parallel()
	const second = job.Duration(time.Second)
	for _, tt := range []struct {
		unique job.Unique
		want   []string
	}{
		{job.Unique{}, nil},
		{job.Unique{By: []job.UniquePart{job.PartPayload, job.PartType}, Until: job.UntilStarted, OnConflict: job.ConflictReplace}, nil},
		{job.Unique{Until: job.UntilTTL, TTL: second, OnConflict: job.ConflictReject}, nil},
		{job.Unique{Until: job.UntilTTL, TTL: job.MaxUniqueTTL, OnConflict: job.ConflictReturn}, nil},
		{job.Unique{By: []job.UniquePart{}}, []string{"unique.by"}},
		{job.Unique{By: []job.UniquePart{"key", "queue"}}, []string{"unique.by[1]"}},
		{job.Unique{By: []job.UniquePart{"key", "type", "key"}}, []string{"unique.by[2]"}},
		{job.Unique{Until: "never"}, []string{"unique.until"}},
		{job.Unique{Until: job.UntilTTL}, []string{"unique.ttl"}},
		{job.Unique{Until: job.UntilTTL, TTL: second - 1}, []string{"unique.ttl"}},
		{job.Unique{Until: job.UntilTTL, TTL: job.MaxUniqueTTL + 1}, []string{"unique.ttl"}},
		{job.Unique{Until: job.UntilTerminal, TTL: second}, []string{"unique.ttl"}},
		{job.Unique{TTL: second}, []string{"unique.ttl"}},
		{job.Unique{OnConflict: "skip"}, []string{"unique.on_conflict"}},
	} {
		var got []string
		for _, e := range tt.unique.Validate("unique.") {
			got = append(got, e.Field)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.unique, diff)
		}
	}
}

func TestUniqueDefaults(t *testing.T) {
	t.Parallel()
	all := []job.UniquePart{job.PartType, job.PartKey, job.PartPayload}
	for _, tt := range []struct{ given, want job.Unique }{
		{job.Unique{}, job.Unique{By: all, Until: job.UntilTerminal, OnConflict: job.ConflictReturn}},
		{
			job.Unique{By: []job.UniquePart{job.PartKey, job.PartType}, Until: job.UntilTTL, TTL: 1, OnConflict: job.ConflictReject},
			job.Unique{By: []job.UniquePart{job.PartType, job.PartKey}, Until: job.UntilTTL, TTL: 1, OnConflict: job.ConflictReject},
		},
	} {
		if diff := cmp.Diff(&tt.want, tt.given.WithDefaults()); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.given, diff)
		}
	}
	if all[0] != job.PartType {
		t.Error("the defaults were changed")
	}
}

// Two contents have one digest just where they are the same by the same parts.
func TestUniqueDigest(t *testing.T) {
	t.Parallel()
	type content struct {
		by                        []job.UniquePart
		kind, key, media, payload string
	}
	text := rapid.SampledFrom([]string{"", "a", "aa", "b", "ab", "key", "\x00", "a\x00"})
	draw := rapid.Custom(func(t *rapid.T) content {
		parts := []job.UniquePart{job.PartType, job.PartKey, job.PartPayload}
		by := slices.DeleteFunc(parts, func(job.UniquePart) bool { return rapid.Bool().Draw(t, "without") })
		return content{by, text.Draw(t, "type"), text.Draw(t, "key"), text.Draw(t, "media type"), text.Draw(t, "payload")}
	})
	digest := func(c content) [32]byte {
		u := job.Unique{By: c.by}
		u.SetDigest(&job.Job{Type: c.kind, Key: c.key, ContentType: c.media}, []byte(c.payload))
		return u.Digest
	}
	same := func(a, b content) bool {
		differ := !slices.Equal(a.by, b.by)
		for _, part := range a.by {
			switch part {
			case job.PartType:
				differ = differ || a.kind != b.kind
			case job.PartKey:
				differ = differ || a.key != b.key
			case job.PartPayload:
				differ = differ || a.media != b.media || a.payload != b.payload
			}
		}
		return !differ
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if same(a, b) != (digest(a) == digest(b)) {
			t.Fatalf("%+v and %+v: same %v", a, b, same(a, b))
		}
	})
}

func TestUniqueEnd(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for until, want := range map[job.UniqueUntil]time.Time{job.UntilStarted: {}, job.UntilTerminal: {}, job.UntilTTL: at.Add(time.Hour)} {
		j := job.Job{CreatedAt: at, Unique: &job.Unique{Until: until, TTL: job.Duration(time.Hour)}}
		if got := j.UniqueEnd(); !got.Equal(want) {
			t.Errorf("until %s: %s, want %s", until, got, want)
		}
	}
	if got := (&job.Job{CreatedAt: at}).UniqueEnd(); !got.IsZero() {
		t.Errorf("of a job that is not unique: %s", got)
	}
}
