package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
)

// protectionFlags are how a worker that fails is left alone, and brought back.
type protectionFlags struct{ circuit, autoPause string }

func (p *protectionFlags) addTo(flags *pflag.FlagSet, into *client.WorkerConfig) {
	flags.StringVar(&p.circuit, "circuit", "", "when it is left alone since pushes fail: off, or `settings` such as min_pushes=10,failure_ratio=0.5,window=1m,open_for=30s,max_open=5m")
	flags.StringVar(&p.autoPause, "auto-pause", "", "when it is paused since it only fails: off, or `settings` such as after=1d,min_attempts=20")
	flags.StringVar(&into.Ramp, "ramp", "", "after a resume, begin with a tenth of its limit (on, default) or with all of it (off)")
}

func (p *protectionFlags) read(into *client.WorkerConfig) error {
	if p.circuit != "" {
		into.Circuit = new(job.Circuit)
		c := into.Circuit
		if err := readSettings("circuit", p.circuit, &c.Mode, map[string]any{
			"window": &c.Window, "min_pushes": &c.MinPushes, "failure_ratio": &c.FailureRatio, "open_for": &c.OpenFor, "max_open": &c.MaxOpen,
		}); err != nil {
			return err
		}
	}
	if p.autoPause != "" {
		into.AutoPause = new(job.AutoPause)
		a := into.AutoPause
		return readSettings("auto-pause", p.autoPause, &a.Mode, map[string]any{"after": &a.After, "min_attempts": &a.MinAttempts})
	}
	return nil
}

// readSettings reads "on", "off", or name=value pairs that commas separate.
func readSettings(flag, text string, mode *string, settings map[string]any) error {
	if text == job.On || text == job.Off {
		*mode = text
		return nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(pair, "=")
		var err error
		switch at := settings[name].(type) {
		case *int:
			*at, err = strconv.Atoi(value)
		case *float64:
			*at, err = strconv.ParseFloat(value, 64)
		case *job.Duration:
			*at, err = job.ParseDuration(value)
		default:
			return usagef("--%s must be on, off, or name=value pairs; %q is none of its settings", flag, pair)
		}
		if err != nil {
			return usagef("--%s: %s cannot be %q", flag, name, value)
		}
	}
	return nil
}

// circuitsText says which circuits of a worker are not closed, for people.
func circuitsText(circuits []client.QueueCircuit, now time.Time) string {
	var texts []string
	for _, c := range circuits {
		if c.State == "half_open" {
			texts = append(texts, c.Queue+" is half-open: one push probes it")
		} else {
			texts = append(texts, c.Queue+" is open, probed "+ago(c.Until, now))
		}
	}
	return strings.Join(texts, "; ")
}
