package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFilesAreAsDefined holds charts/dashboards to the definitions. After a change:
// go run ./tools/dashboards charts/dashboards
func TestFilesAreAsDefined(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "charts", "dashboards")
	var want []string
	for _, d := range dashboards() {
		want = append(want, d.file())
		data, err := encode(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, d.file()))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(data) {
			t.Errorf("%s is not as defined: go run ./tools/dashboards charts/dashboards", d.file())
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if slices.Sort(want); !slices.Equal(names, want) {
		t.Errorf("charts/dashboards has %v, want %v", names, want)
	}
}

// page is what the rules look at, as Grafana reads it.
type page struct {
	UID, Title, Description string
	Editable                bool
	SchemaVersion           int
	Tags                    []string
	Templating              struct {
		List []struct {
			Type, Name, Label, Query, AllValue string
			Datasource                         struct{ UID string }
			Multi, IncludeAll                  bool
			Refresh                            int
		}
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		Datasource               struct{ UID string }
		GridPos                  struct{ X, Y, W, H int }
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct {
			Datasource          struct{ UID string }
			RefID, Expr, Format string
			Instant, Range      bool
		}
	}
}

// read decodes a dashboard; a query variable's query, which is an object, is left out.
func read(t *testing.T, d dashboard) page {
	t.Helper()
	m := d.model()
	for _, v := range m["templating"].(map[string]any)["list"].([]any) {
		if q, ok := v.(map[string]any)["query"].(map[string]any); ok {
			v.(map[string]any)["query"] = q["query"]
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var p page
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDashboards holds them to the rules of Grafana's dashboard-linter that need no
// parser; test/charts has those that do.
func TestDashboards(t *testing.T) {
	t.Parallel()
	const source = "${datasource}"
	uids := map[string]bool{}
	for _, d := range dashboards() {
		p := read(t, d)
		if p.Editable || p.Description == "" || !slices.Contains(p.Tags, tag) || p.SchemaVersion < 36 || uids[p.UID] || len(p.UID) > 40 {
			t.Errorf("%s: editable, without description or tag, of an old schema, or with a uid that is taken or too long", p.Title)
		}
		uids[p.UID] = true
		for i, v := range p.Templating.List {
			switch {
			case i == 0:
				if v.Type != "datasource" || v.Name != "datasource" || v.Query != "prometheus" || v.Label != "Data source" {
					t.Errorf("%s: the first variable is %+v, want the data source", p.Title, v)
				}
			case v.Datasource.UID != source || v.Label == "" || !v.Multi || !v.IncludeAll || v.AllValue != ".+" || v.Refresh != 2 || !strings.HasPrefix(v.Query, "label_values("):
				t.Errorf("%s: variable %+v", p.Title, v)
			}
		}
		if p.Templating.List[1].Name != "job" || p.Templating.List[2].Name != "instance" {
			t.Errorf("%s cannot be kept to a job and instances", p.Title)
		}
		titles := map[string]bool{}
		for i, panel := range p.Panels {
			name := p.Title + ": " + panel.Title
			if panel.Title == "" || titles[panel.Title] || !strings.HasSuffix(panel.Description, ".") || panel.FieldConfig.Defaults.Unit == "" || panel.ID != i+1 {
				t.Errorf("%s: wants a title of its own, a description and a unit", name)
			}
			titles[panel.Title] = true
			if panel.Datasource.UID != source || len(panel.Targets) == 0 {
				t.Errorf("%s: no target, or a data source that is not chosen", name)
			}
			if g := panel.GridPos; g.X < 0 || g.X+g.W > columns || g.W == 0 || g.H == 0 {
				t.Errorf("%s does not fit: %+v", name, g)
			}
			for _, other := range p.Panels[:i] {
				if a, b := panel.GridPos, other.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s lies on %s", name, other.Title)
				}
			}
			for _, target := range panel.Targets {
				if target.Datasource.UID != source || target.RefID == "" || target.Expr == "" || target.Instant == target.Range {
					t.Errorf("%s: target %+v", name, target)
				}
				if strings.ContainsAny(strings.NewReplacer(`{job=~"$job"`, "").Replace(target.Expr), "{") {
					t.Errorf("%s: a selector is not kept to the chosen job: %s", name, target.Expr)
				}
			}
		}
	}
}
