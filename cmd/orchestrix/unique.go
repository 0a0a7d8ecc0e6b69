package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// uniqueFlags ask that a job be unique. Each of them does so; --unique asks for
// nothing but the defaults.
type uniqueFlags struct {
	on                          bool
	by                          []string
	until, lifetime, onConflict string
}

func (f *uniqueFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.on, "unique", false, "only where no job with the same content has yet to end")
	flags.StringSliceVar(&f.by, "unique-by", nil, "unique by these `parts`: type, key, payload (default all)")
	flags.StringVar(&f.until, "unique-until", "", "unique until: started, terminal (default) or ttl")
	flags.StringVar(&f.lifetime, "unique-ttl", "", "unique for this `duration`, with --unique-until ttl")
	flags.StringVar(&f.onConflict, "unique-on-conflict", "", "return (default), reject or replace the other job")
}

// read returns what the flags ask for, nil where they ask for nothing.
func (f *uniqueFlags) read() (*job.Unique, error) {
	u := job.Unique{Until: job.UniqueUntil(f.until), OnConflict: job.UniqueConflict(f.onConflict)}
	for _, part := range f.by {
		u.By = append(u.By, job.UniquePart(strings.TrimSpace(part)))
	}
	if err := readDurations([]durationFlag{{"unique-ttl", f.lifetime, &u.TTL}}); err != nil {
		return nil, err
	}
	if !f.on && len(u.By) == 0 && u.Until == "" && f.lifetime == "" && u.OnConflict == "" {
		return nil, nil
	}
	return &u, nil
}

// shownUnique says on one line as what a job is unique, and for how long.
func shownUnique(j *client.Job) string {
	u := j.Unique
	if u == nil {
		return ""
	}
	parts := make([]string, len(u.By))
	for i, part := range u.By {
		parts[i] = string(part)
	}
	text := "by " + strings.Join(parts, ", ") + " until " + string(u.Until)
	if u.TTL != 0 {
		text += " of " + u.TTL.String()
	}
	return text
}
