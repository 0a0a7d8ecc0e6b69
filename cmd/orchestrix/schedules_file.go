package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/scheduler"
)

// fileHelp says what a file of schedules looks like.
const fileHelp = `The file has the schedules, as YAML or JSON, by their names:

  schedules:
    nightly-report:
      cron: "30 2 * * *"        # or every: 90s
      timezone: Europe/Berlin   # UTC where it is not given
      jitter: 5m
      starts_at: 2027-01-01T00:00:00Z
      overlap: skip             # allow, skip, queue_one or cancel_running
      catch_up: latest          # after downtime: skip, latest or all
      job:                      # as of POST /v1/jobs
        queue: reports
        type: report.render
        payload: {"format": "pdf"}

There are also ends_at, max_runs, dst_gap, catch_up_window and pause_on_failure.`

// fileSchedule is a schedule of a file.
type fileSchedule struct {
	name   string
	config client.ScheduleConfig
	// job says that it has one: a plan does without.
	job   bool
	table *scheduler.Timetable
}

// readSchedules reads a file of schedules. Its error names all that is wrong.
func readSchedules(path string) ([]fileSchedule, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{err}
	}
	root, err := yaml.Parser().Unmarshal(data)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	named, ok := root["schedules"].(map[string]any)
	if !ok || len(root) != 1 {
		return nil, usagef("%s: must have schedules: and below it each schedule by its name, and nothing else", path)
	}
	var schedules []fileSchedule
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(named)) {
		s, errs := readSchedule(name, named[name])
		for _, e := range errs {
			wrong = append(wrong, fmt.Sprintf("%s: %.64q: %s %s", path, name, e.Field, e.Message))
		}
		schedules = append(schedules, s)
	}
	if wrong != nil {
		return nil, usagef("%s", strings.Join(wrong, "\n"))
	}
	return schedules, nil
}

func readSchedule(name string, value any) (s fileSchedule, errs []job.FieldError) {
	wrong := func(field, message string) []job.FieldError {
		return []job.FieldError{{Field: field, Message: message}}
	}
	if !job.ValidName(name) {
		return s, wrong("name", job.CheckName(name))
	}
	data, err := json.Marshal(value)
	if err != nil {
		return s, wrong("schedule", err.Error())
	}
	var file struct {
		client.ScheduleConfig
		Job *client.ScheduledJob `json:"job"`
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return s, wrong("schedule", strings.TrimPrefix(err.Error(), "json: "))
	}
	s = fileSchedule{name: name, config: file.ScheduleConfig, job: file.Job != nil}
	if s.job {
		s.config.Job = *file.Job
	}
	var definition scheduler.Definition // which has the same members
	if err := json.Unmarshal(data, &definition); err != nil {
		return s, wrong("schedule", strings.TrimPrefix(err.Error(), "json: "))
	}
	s.table, errs = scheduler.New(name, definition.Spec)
	return s, append(errs, definition.Policy.Validate()...)
}

// timetables returns those of schedules.
func timetables(schedules []fileSchedule) []*scheduler.Timetable {
	tables := make([]*scheduler.Timetable, len(schedules))
	for i := range schedules {
		tables[i] = schedules[i].table
	}
	return tables
}
