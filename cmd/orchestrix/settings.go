package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envPrefix begins the name of every environment variable: the flag
// --drain-grace is ORCHESTRIX_DRAIN_GRACE, and drain-grace in the file.
const envPrefix = "ORCHESTRIX_"

// envAliases are the variables whose flag has another name.
var envAliases = map[string]string{"url": "server", "key": "api-key"}

// configures is the annotation of a command whose own flags are settings. Of
// any other command only the global flags are: what one job's priority is, or
// how many jobs a benchmark sends, does not belong into an environment.
const configures = "configures"

// applySettings fills the flags that were not given from the environment, else
// from the file named by --config or ORCHESTRIX_CONFIG.
func applySettings(cmd *cobra.Command) error {
	settings, err := loadSettings(cmd)
	if err != nil {
		return usageError{err}
	}
	mine := map[string]bool{}
	settingsOf(cmd, mine)
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || !mine[f.Name] || !settings.Exists(f.Name) || failed != nil {
			return
		}
		if err := setFlag(cmd.Flags(), f, settings); err != nil {
			failed = usagef("setting %q: %w", f.Name, err)
		}
	})
	return failed
}

func setFlag(flags *pflag.FlagSet, f *pflag.Flag, settings *koanf.Koanf) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if values := settings.Strings(f.Name); len(values) > 0 { // a YAML list
			f.Changed = true
			return list.Replace(values)
		}
	}
	return flags.Set(f.Name, settings.String(f.Name))
}

// loadSettings reads the file, then the environment over it.
func loadSettings(cmd *cobra.Command) (*koanf.Koanf, error) {
	// Flag names hold no slash, so nothing is ever split into a tree.
	settings := koanf.New("/")
	path, _ := cmd.Flags().GetString("config")
	if path == "" {
		path = os.Getenv(envPrefix + "CONFIG")
	}
	if path != "" {
		if err := settings.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, fileError(path, err)
		}
		if err := knownSettings(cmd.Root(), path, settings); err != nil {
			return nil, err
		}
	}
	err := settings.Load(env.Provider("/", env.Opt{Prefix: envPrefix, TransformFunc: fromEnv}), nil)
	return settings, err
}

func fromEnv(name, value string) (string, any) {
	name = strings.ToLower(strings.TrimPrefix(name, envPrefix))
	if alias, ok := envAliases[name]; ok {
		name = alias
	}
	if value == "" { // set to nothing is not set
		return "", nil
	}
	return strings.ReplaceAll(name, "_", "-"), value
}

func fileError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the configuration file %s does not exist", path)
	}
	return fmt.Errorf("configuration file %s: %w", path, err)
}

// knownSettings refuses a key that no command has: a typing error would
// otherwise be a setting that silently does nothing. The environment is not
// checked so: Kubernetes puts variables of its own there, such as
// ORCHESTRIX_PORT for a service of that name.
func knownSettings(root *cobra.Command, path string, settings *koanf.Koanf) error {
	known := map[string]bool{}
	for _, cmd := range append(root.Commands(), root) {
		settingsOf(cmd, known)
	}
	for _, key := range settings.Keys() {
		if !known[key] {
			return fmt.Errorf("configuration file %s: there is no setting %q; settings are named like the flags of: orchestrix serve --help", path, key)
		}
	}
	return nil
}

// settingsOf notes the names of the command's flags that are settings.
func settingsOf(cmd *cobra.Command, into map[string]bool) {
	note := func(f *pflag.Flag) { into[f.Name] = f.Name != "config" && f.Name != "help" }
	cmd.Root().PersistentFlags().VisitAll(note)
	if cmd.Annotations[configures] != "" {
		cmd.LocalNonPersistentFlags().VisitAll(note)
	}
}
