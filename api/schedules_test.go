package api_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPreview(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.want(200, "POST", "/v1/schedules/preview", `{"cron":"30 2 * * *","timezone":"America/New_York","from":"2027-03-13T00:00:00Z","count":3}`)
	type slot struct{ At, Local, Note string }
	var got struct{ Items []slot }
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	want := []slot{
		{"2027-03-13T07:30:00Z", "2027-03-13T02:30:00-05:00", ""},
		{"2027-03-14T07:00:00Z", "2027-03-14T03:00:00-04:00", "02:30 does not exist on 2027-03-14: fires 03:00"},
		{"2027-03-15T06:30:00Z", "2027-03-15T02:30:00-04:00", ""},
	}
	if diff := cmp.Diff(want, got.Items); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for body, count := range map[string]int{
		`{"every":"90s"}`:                                    10, // from now on
		`{"every":"90s","max_runs":4}`:                       4,
		`{"cron":"@daily","ends_at":"2020-01-01T00:00:00Z"}`: 0,
	} {
		var got struct{ Items []slot }
		if err := json.Unmarshal(s.want(200, "POST", "/v1/schedules/preview", body).body, &got); err != nil || len(got.Items) != count {
			t.Errorf("%s: %d slots, %v; want %d", body, len(got.Items), err, count)
		}
	}
	for body, fields := range map[string][]string{
		`{}`:                              {"cron"},
		`{"cron":"0 0 30 2 *"}`:           {"cron"},
		`{"cron":"@hourly","every":"1m"}`: {"every"},
		`{"cron":"61 * * * *","timezone":"Mars"}`: {"cron", "timezone"},
		`{"cron":"@hourly","count":1001}`:         {"count"},
		`{"cron":"@hourly","name":"No Name"}`:     {"name"},
		`{"cron":"@hourly","count":0}`:            {"count"},
		`{"every":"10ms"}`:                        {"every"},
		`{"cron":"@hourly","year":2027}`:          {"year"},
	} {
		if a := s.want(422, "POST", "/v1/schedules/preview", body); !slices.Equal(a.problem(), fields) {
			t.Errorf("%s: %s, want %v", body, a.body, fields)
		}
	}
}
