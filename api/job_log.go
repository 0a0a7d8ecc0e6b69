package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/orchestrix/orchestrix/control"
)

// LogLine is a line of a job's log.
type LogLine struct {
	Number  int             `json:"number" doc:"Counts from 1, over all attempts."`
	Attempt int             `json:"attempt"`
	Level   string          `json:"level" enum:"trace,debug,info,warn,error,critical"`
	Time    time.Time       `json:"time" doc:"The worker's."`
	Message string          `json:"message"`
	Fields  json.RawMessage `json:"fields,omitempty" doc:"A JSON object."`
}

func viewLogLine(l *control.LogLine) LogLine {
	return LogLine{Number: l.Number, Attempt: l.Attempt, Level: l.Level, Time: l.Time, Message: l.Message, Fields: l.Fields}
}

type jobLogInput struct {
	JobPath
	PageParams
	Follow bool `query:"follow" doc:"Stream what there is and what comes, until the job has ended, as Accept: text/event-stream does."`
}

// JobLog is a page of a job's log.
type JobLog struct {
	Items      []LogLine `json:"items" nullable:"false"`
	NextCursor string    `json:"next_cursor" doc:"Leads to the next page; empty after the last one."`
	Truncated  bool      `json:"truncated,omitempty" doc:"The log is full, and lines were left out after its last."`
}

type jobLogOutput struct{ Body JobLog }

const jobLogPath = "/v1/jobs/{id}/logs"

func (a *api) logRoute() {
	register(a, operation{
		method: "GET", path: jobLogPath, id: "get-job-logs", tag: jobsTag, errors: []int{404},
		summary: "Read what workers have logged of a job, the oldest line first",
	}, a.getJobLog)
	a.describeStream()
}

func (a *api) getJobLog(ctx context.Context, in *jobLogInput) (*jobLogOutput, error) {
	id, err := in.parse()
	if err != nil {
		return nil, err
	}
	page, err := a.control.JobLog(ctx, id, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	items := newList(page.Lines, page.Cursor, viewLogLine).Body.Items
	return &jobLogOutput{JobLog{Items: items, NextCursor: page.Cursor, Truncated: page.Truncated}}, nil
}
