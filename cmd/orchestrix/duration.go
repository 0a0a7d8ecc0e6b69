package main

import (
	"time"

	"github.com/orchestrix/orchestrix/job"
)

// durationValue is a flag of the API's durations, which know days.
type durationValue time.Duration

func (d *durationValue) String() string { return job.Duration(*d).String() }

func (d *durationValue) Set(text string) error {
	v, err := job.ParseDuration(text)
	if err != nil {
		return err
	}
	*d = durationValue(v)
	return nil
}

func (d *durationValue) Type() string { return "duration" }
