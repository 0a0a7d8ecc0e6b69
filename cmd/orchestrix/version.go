package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildVersion is set by the linker in a release: -X main.buildVersion=1.2.3.
var buildVersion string

// version returns the release, else the commit the binary was built from.
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if commit := buildSetting("vcs.revision"); commit != "" {
		if buildSetting("vcs.modified") == "true" {
			return "dev-" + commit[:min(len(commit), 12)] + "-modified"
		}
		return "dev-" + commit[:min(len(commit), 12)]
	}
	return "dev"
}

func buildSetting(key string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// versionInfo is the answer of the version command as JSON.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  orchestrix version\n  orchestrix version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := versionInfo{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if c.term.JSON {
				return c.term.WriteJSON(info)
			}
			_, err := fmt.Fprintf(c.stdout, "orchestrix %s (%s, %s)\n", info.Version, info.Go, info.Platform)
			return err
		},
	}
}
