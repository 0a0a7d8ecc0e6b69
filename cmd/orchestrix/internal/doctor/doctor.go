// Package doctor looks for what most often keeps a server from working well:
// the configuration, the directory and its disk, the port, limits of the
// process, the clock, a running server and the workers it pushes to.
//
// Each check says what it found and, where that is not well, what to do. It
// changes nothing but a temporary file in the store's directory, and makes no
// judgement of the load: for that see the benchmark.
package doctor

import (
	"context"
	"os"
	"time"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
)

// Result is how a check ended.
type Result string

// The results. Only Failed makes the whole check-up fail.
const (
	OK      Result = "ok"
	Warning Result = "warn"
	Failed  Result = "FAILED"
	Skipped Result = "skipped"
)

// Check is one finding.
type Check struct {
	Name   string `json:"check"`
	Result Result `json:"result"`
	// Found says what there is, Advice what to do about it.
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

// Options say what is looked at.
type Options struct {
	Config app.Config
	API    *client.Client
	// Expected says that a server must be running; otherwise its absence is no
	// fault.
	Expected bool
	// Step is told the name of each check before it is made; it must not be nil.
	Step func(name string)
}

// checkTimeout bounds each check that talks to somebody.
const checkTimeout = 5 * time.Second

// Run makes all checks, one after the other.
func Run(ctx context.Context, o Options) []Check {
	var out []Check
	add := func(checks ...Check) { out = append(out, checks...) }
	o.Step("configuration")
	add(configuration(o.Config))
	add(secrets(o.Config))
	o.Step("store")
	add(keeping(ctx, o.Config)...)
	o.Step("open files")
	add(openFiles(o.Config.MaxInFlight))
	o.Step("server")
	server, running := server(ctx, o)
	o.Step("port")
	add(port(ctx, o.Config.Listen, running))
	add(server...)
	if running {
		o.Step("workers")
		add(workers(ctx, o.API)...)
	}
	return out
}

// AnyFailed reports whether a check failed.
func AnyFailed(checks []Check) bool {
	for _, c := range checks {
		if c.Result == Failed {
			return true
		}
	}
	return false
}

// secrets says whether they are encrypted in the store, and whether others may
// read the keys.
func secrets(c app.Config) Check {
	if c.SecretKeyFile == "" && c.Store == "memory:" {
		return Check{"secrets", Skipped, "the store is memory:", ""}
	}
	if c.SecretKeyFile == "" {
		return Check{"secrets", Warning, "they are stored as they are", "encrypt them: orchestrix secrets generate-key > secret.keys, and serve --secret-key-file secret.keys"}
	}
	info, err := os.Stat(c.SecretKeyFile)
	if err != nil {
		return Check{"secrets", Failed, err.Error(), "make the file readable for this user"}
	}
	if info.Mode().Perm()&0o004 != 0 {
		return Check{"secrets", Warning, c.SecretKeyFile + " is readable for everybody", "chmod 600 " + c.SecretKeyFile}
	}
	return Check{"secrets", OK, "encrypted with the first key of " + c.SecretKeyFile, ""}
}

func configuration(c app.Config) Check {
	if err := c.Validate(); err != nil {
		return Check{"configuration", Failed, err.Error(), "correct the flag, the environment or the file"}
	}
	return Check{"configuration", OK, "store " + c.StoreName() + ", listen " + c.Listen, ""}
}
