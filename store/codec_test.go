package store

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/orchestrix/orchestrix/job"
)

func drawTime(t *rapid.T, label string) time.Time {
	return timeOf(rapid.Int64Range(0, 1<<42).Draw(t, label))
}

func drawTexts(t *rapid.T, label string) map[string]string {
	m := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, label)
	if len(m) == 0 {
		return nil
	}
	return m
}

func drawJob(t *rapid.T) *job.Job {
	text, number := rapid.String(), rapid.IntRange(0, 1<<31)
	ordered := rapid.Bool().Draw(t, "ordered")
	return &job.Job{
		Ordered: ordered, Turn: rapid.Uint64Max(turnMax(ordered)).Draw(t, "turn"), Blocks: ordered && rapid.Bool().Draw(t, "blocks"),
		ID: job.MakeID(start, 3, [9]byte{1}), Queue: "q" + text.Draw(t, "queue"), Type: text.Draw(t, "type"), Key: text.Draw(t, "key"),
		Priority: job.Priority(rapid.IntRange(1, 4).Draw(t, "priority")),
		Labels:   drawTexts(t, "labels"), Headers: drawTexts(t, "headers"),
		URL: text.Draw(t, "url"), Method: text.Draw(t, "method"), ContentType: text.Draw(t, "content type"), PayloadSize: number.Draw(t, "size"), Counted: number.Draw(t, "counted"),
		Timeout: job.Duration(rapid.Int64().Draw(t, "timeout")), Retry: drawPolicy(t), IdempotencyKey: text.Draw(t, "idempotency"),
		CreatedAt: drawTime(t, "created"), RunAt: drawTime(t, "run at"), ExpiresAt: drawTime(t, "expires"),
		Status: job.Status(rapid.IntRange(1, 5).Draw(t, "status")), Reason: job.Reason(text.Draw(t, "reason")),
		Incarnation: number.Draw(t, "incarnation"), Attempt: number.Draw(t, "attempt"), Failures: number.Draw(t, "failures"),
		Losses: number.Draw(t, "losses"), Due: drawTime(t, "due"), StartedAt: drawTime(t, "started"), FinishedAt: drawTime(t, "finished"),
		Attempts: rapid.SliceOfN(rapid.Custom(drawAttempt), 0, 3).Draw(t, "attempts"),
		Unique:   drawUnique(t),
	}
}

func drawUnique(t *rapid.T) *job.Unique {
	if rapid.Bool().Draw(t, "not unique") {
		return nil
	}
	u := &job.Unique{
		Until: job.UniqueUntil(rapid.String().Draw(t, "until")), TTL: job.Duration(rapid.Int64().Draw(t, "ttl")),
		OnConflict: job.UniqueConflict(rapid.String().Draw(t, "on conflict")),
		By:         rapid.SliceOfN(rapid.SampledFrom([]job.UniquePart{job.PartType, job.PartKey, job.PartPayload}), 0, 3).Draw(t, "by"),
	}
	copy(u.Digest[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
	copy(u.ReplacedBy[:], rapid.SliceOfN(rapid.Byte(), 0, idLength).Draw(t, "replaced by"))
	return u
}

func turnMax(ordered bool) uint64 {
	if ordered {
		return math.MaxInt64
	}
	return 0
}

func drawPolicy(t *rapid.T) job.Policy {
	p := job.Policy{
		MaxAttempts: rapid.IntRange(0, 1000).Draw(t, "max attempts"), MaxDuration: job.Duration(rapid.Int64().Draw(t, "max duration")),
		Backoff: job.Backoff(rapid.String().Draw(t, "backoff")), InitialDelay: job.Duration(rapid.Int64().Draw(t, "initial")),
		Factor: rapid.Float64().Draw(t, "factor"), MaxDelay: job.Duration(rapid.Int64().Draw(t, "max delay")),
		Jitter: job.Jitter(rapid.String().Draw(t, "jitter")), FatalStatuses: rapid.SliceOfN(rapid.IntRange(300, 599), 0, 3).Draw(t, "fatal"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "delays") {
		p.Delays = append(p.Delays, job.Duration(rapid.Int64().Draw(t, "delay")))
	}
	return p
}

func drawAttempt(t *rapid.T) job.Attempt {
	return job.Attempt{
		Number: rapid.Int().Draw(t, "number"), Incarnation: rapid.Int().Draw(t, "incarnation"), Worker: rapid.String().Draw(t, "worker"),
		URL: rapid.String().Draw(t, "url"), StartedAt: drawTime(t, "started"), Duration: time.Duration(rapid.Int64().Draw(t, "duration")),
		Outcome: job.Outcome(rapid.IntRange(1, 6).Draw(t, "outcome")), StatusCode: rapid.IntRange(0, 599).Draw(t, "status"),
		Error: rapid.String().Draw(t, "error"), Reason: job.Reason(rapid.String().Draw(t, "reason")),
		Answer: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "answer"), AnswerSize: rapid.Int().Draw(t, "answer size"),
		AnswerType: rapid.String().Draw(t, "answer type"),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := drawJob(t)
		data := appendJob(nil, j)
		got, err := decodeJob(j.ID, data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(j, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatal(diff)
		}
		for i := range data {
			data[i] = 0xff // the job must have kept nothing of it
		}
		if diff := cmp.Diff(j, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// goldenJob has every field set.
func goldenJob() *job.Job {
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	return &job.Job{
		ID: job.MakeID(start, 5, [9]byte{1, 2, 3, 4, 5, 6, 7, 8, 9}), Queue: "q", Type: "t", Key: "k", Priority: job.High,
		Labels: map[string]string{"b": "2", "a": "1"}, Headers: map[string]string{"H": "h"}, URL: "u", ContentType: "c", PayloadSize: 6,
		Timeout: 7, IdempotencyKey: "i", CreatedAt: at(1), RunAt: at(2), ExpiresAt: at(3), Status: job.Dead, Reason: "r",
		Incarnation: 8, Attempt: 9, Failures: 10, Losses: 11, Due: at(4), StartedAt: at(5), FinishedAt: at(6), Counted: 21,
		Retry: job.Policy{
			MaxAttempts: 12, MaxDuration: 13, Backoff: "b", InitialDelay: 14, Factor: 1.5, MaxDelay: 15, Jitter: "j",
			Delays: []job.Duration{16, 300}, FatalStatuses: []int{404, 410},
		},
		Attempts: []job.Attempt{{
			Number: 17, Incarnation: 18, Worker: "w", URL: "v", StartedAt: at(7), Duration: 19, Outcome: job.OutcomeFailed,
			StatusCode: 500, Error: "e", Reason: "s", Answer: []byte("x"), AnswerSize: 20, AnswerType: "y",
		}},
	}
}

const goldenRecord = "0a01711201741a016b20022a060a01611201312a060a016212013232060a01481201683a0175420163480650075a22080c100d1a0162200e29000000000000f83f300f3a016a420310ac024a0494039a0362016968e89b94caca3370d0a394caca3378b8ab94caca338001038a010172900108980109a0010aa8010bb001a0b394caca33b80188bb94caca33c001f0c294caca33ca0126081110121a017722017628d8ca94caca333013380240f4034a01655201735a017860146a0179d00115"

// A record that is stored today must be read for ever.
func TestRecordGolden(t *testing.T) {
	t.Parallel()
	j := goldenJob()
	if got := hex.EncodeToString(appendJob(nil, j)); got != goldenRecord {
		t.Errorf("record = %s\nwant     %s", got, goldenRecord)
	}
	data, err := hex.DecodeString(goldenRecord)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeJob(j.ID, data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(j, got); diff != "" {
		t.Error(diff)
	}
}

// A record that a later version wrote has fields that this one does not know.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	j := goldenJob()
	data := appendText(appendInt(appendJob(nil, j), 900, 5), 901, "later")
	data = append(data, 0x85, 0x39, 1, 2, 3, 4) // field 912, fixed32
	got, err := decodeJob(j.ID, data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(j, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadRecords(t *testing.T) {
	t.Parallel()
	whole := appendJob(nil, goldenJob())
	for name, data := range map[string][]byte{
		"empty":            {},
		"cut":              whole[:len(whole)-1],
		"not a message":    {0xff, 0xff, 0xff},
		"wrong type":       appendInt(nil, fieldQueue, 1),
		"status too large": appendInt(appendText(nil, fieldQueue, "q"), fieldStatus, 300),
		"no status":        appendText(nil, fieldQueue, "q"),
	} {
		if j, err := decodeJob(job.ID{1}, data); err == nil {
			t.Errorf("%s: read as %+v", name, j)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(appendJob(nil, goldenJob()))
	f.Add(appendClaim(nil, []ClaimEntry{{Entry: &Entry{Job: goldenJob()}, Attempt: 1, Worker: "w", Started: start, Deadline: start}}))
	f.Add(appendCommand(nil, &Command{Kind: CommandCancel, At: start}))
	f.Add(appendDocument(nil, &Document{Version: 1, Data: []byte("{}")}))
	f.Add(appendLaneTag(nil, tagOf(goldenJob())))
	f.Add(appendResult(nil, 1, "text/plain", []byte("x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if j, err := decodeJob(job.ID{1}, data); err == nil {
			again, err := decodeJob(j.ID, appendJob(nil, j))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(j, again, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
				t.Fatal(diff)
			}
		}
		// The others must not panic.
		_, _, _ = parseClaim(data)
		_, _ = parseCommand(data)
		_, _ = parseDocument("k", "n", data)
		_, _ = parseLaneTag(data)
		_, _, _, _ = parseResult(data)
		_, _ = parseHolder(data)
		_, _, _, _ = parseTimer(data)
		_, _, _ = parseCount(data)
		_, _ = parseLane(data)
		for kind := range TimerKind(4) {
			_ = (&Timer{Kind: kind}).parseValue(data)
		}
	})
}

func TestValuesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := drawJob(t)
		tag, err := parseLaneTag(appendLaneTag(nil, tagOf(j)))
		if err != nil || tag != tagOf(j) {
			t.Fatalf("lane tag %+v, %v", tag, err)
		}
		in := ClaimEntry{Entry: &Entry{Job: j, Seq: j.Turn}, Attempt: j.Attempt, Worker: j.Type, Started: j.StartedAt, Deadline: j.Due, Probe: j.Ordered}
		want := claimed{j.ID, in.Attempt, in.Worker, in.Started, in.Deadline, j.Turn, in.Probe}
		for node, record := range map[string][]byte{
			"":  appendClaim(nil, []ClaimEntry{in, in}),
			"n": appendHandOver(nil, &HandOver{Node: "n", Entries: []ClaimEntry{in, in}}),
		} {
			claim, by, err := parseClaim(record)
			if err != nil || len(claim) != 2 || claim[1] != want || by != node {
				t.Fatalf("claim %+v by %q, %v, want %+v by %q", claim, by, err, want, node)
			}
		}
		attempt, contentType, body, err := parseResult(appendResult(nil, j.Attempt, j.ContentType, []byte(j.URL)))
		if err != nil || attempt != j.Attempt || contentType != j.ContentType || string(body) != j.URL {
			t.Fatalf("result %d %q %q, %v", attempt, contentType, body, err)
		}
		c := Command{Kind: CommandRetry, ID: j.ID, At: j.CreatedAt, Incarnation: j.Incarnation, Attempt: j.Attempt, Report: []byte(j.URL)}
		if got, err := parseCommand(appendCommand(nil, &c)); err != nil || !cmp.Equal(got, c, cmpopts.EquateEmpty()) {
			t.Fatalf("command %+v, %v", got, err)
		}
	})
}

func TestKeysSortAsTheyMean(t *testing.T) {
	t.Parallel()
	text := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff}), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		a, b := string(text.Draw(t, "a")), string(text.Draw(t, "b"))
		ka, kb := appendEscaped(nil, a), appendEscaped(nil, b)
		if got, want := cmpText(string(ka), string(kb)), cmpText(a, b); got != want {
			t.Fatalf("%q and %q: their keys sort %d, want %d", a, b, got, want)
		}
		back, rest, err := readEscaped(append(ka, 7))
		if err != nil || back != a || fmt.Sprint(rest) != "[7]" {
			t.Fatalf("%q was read back as %q, %v", a, back, err)
		}
	})
}

// readEscaped reads what appendEscaped wrote and returns what follows it.
func readEscaped(b []byte) (text string, rest []byte, err error) {
	var out []byte
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 || i+1 >= len(b) {
			return "", nil, errBadKey
		}
		out = append(out, b[:i]...)
		switch b[i+1] {
		case 1:
			return string(out), b[i+2:], nil
		case 0xff:
			out = append(out, 0)
		default:
			return "", nil, errBadKey
		}
		b = b[i+2:]
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestAfter(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"a": "b", "a\xff": "b", "\xff\xff": "", "a\x00": "a\x01"} {
		if got := string(after([]byte(in))); got != want {
			t.Errorf("after(%q) = %q, want %q", in, got, want)
		}
	}
}
