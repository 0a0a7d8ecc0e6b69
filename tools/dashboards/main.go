// Command dashboards writes the Grafana dashboards under charts/dashboards from the
// definitions in this package: what each panel shows, in a line or two of Go, and the
// rest of Grafana's JSON around it.
//
// It promises that all dashboards are alike where they should be: the data source is a
// variable, every panel has a title, a description and a unit, every expression keeps to
// the chosen job and instances. The tests hold the written files to the definitions and
// to the rules of Grafana's dashboard-linter; test/charts runs every expression on a real
// Prometheus. It does not talk to a Grafana.
//
//	go run ./tools/dashboards charts/dashboards
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, d := range dashboards() {
		data, err := encode(d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, d.file()), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// encode returns a dashboard as Grafana imports it.
func encode(d dashboard) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d.model())
	return b.Bytes(), err
}

// dashboards are all there are, in the order of the links between them.
func dashboards() []dashboard {
	return []dashboard{overview(), queues(), workers(), schedules(), cluster(), runtime()}
}
