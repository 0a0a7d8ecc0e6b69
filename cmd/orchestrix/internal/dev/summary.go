package dev

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orchestrix/orchestrix/job"
)

// Line is what became of the jobs of one sample.
type Line struct {
	Type  string `json:"type"`
	Queue string `json:"queue"`
	Shows string `json:"shows"`
	Jobs  int    `json:"jobs"`
	// Attempts are those of all its jobs together.
	Attempts int            `json:"attempts"`
	Ended    map[string]int `json:"ended"`
	Expected string         `json:"expected"`
	OK       bool           `json:"ok"`
}

// Summary is what became of all sample jobs.
type Summary struct {
	Lines []Line `json:"samples"`
	// Pushes is how many the sample worker verified, Refused how many it could
	// not.
	Pushes  int64 `json:"pushes_verified"`
	Refused int64 `json:"pushes_refused"`
	OK      bool  `json:"ok"`
}

// summarize compares what happened with what had to; strict says that the
// sample worker was at work, so that the end of each job is known.
func summarize(r *round, samples []Sample, strict bool) Summary {
	s := Summary{OK: true}
	for i := range samples {
		line := lineOf(r, &samples[i], strict)
		s.Lines = append(s.Lines, line)
		s.OK = s.OK && line.OK
	}
	return s
}

func lineOf(r *round, s *Sample, strict bool) Line {
	line := Line{Type: s.Job.Type, Queue: s.Job.Queue, Shows: s.Shows, Ended: map[string]int{}, Expected: "an end", OK: true}
	if strict {
		line.Expected = fmt.Sprintf("%s, %s", s.Status, attempts(s.Attempts))
	}
	for _, t := range r.jobs {
		if t.sample.Job.Type != s.Job.Type {
			continue
		}
		line.Jobs++
		line.Attempts += t.job.Attempt
		line.Ended[t.job.Status]++
		asExpected := t.job.Status == s.Status.String() && t.job.Attempt == s.Attempts
		if !t.job.Terminal() || (strict && !asExpected) {
			line.OK = false
		}
	}
	line.OK = line.OK && line.Jobs == s.Count
	return line
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// ended shows how many jobs ended how, such as "3 succeeded, 1 dead".
func (l Line) ended() string {
	var parts []string
	for _, status := range job.ShownStatuses() {
		if n := l.Ended[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	for _, status := range slices.Sorted(maps.Keys(l.Ended)) {
		if !slices.Contains(job.ShownStatuses(), status) {
			parts = append(parts, fmt.Sprintf("%d %s", l.Ended[status], status))
		}
	}
	return strings.Join(parts, ", ")
}
