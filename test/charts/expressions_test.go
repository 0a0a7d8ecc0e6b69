package charts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// expression is one of a panel or a rule.
type expression struct {
	where string
	text  string // as it is written
	panel bool
	alert bool
}

var promql = parser.NewParser(parser.Options{})

// variables are what Grafana puts in the place of its own, for a range of an hour.
var variables = strings.NewReplacer(
	"$__rate_interval", "1m", "$__range", "1h", "$job", ".+", "$instance", ".+", "$queue", ".+", "$worker", ".+",
)

func (e expression) parse(t *testing.T) parser.Expr {
	t.Helper()
	expr, err := promql.ParseExpr(variables.Replace(e.text))
	if err != nil {
		t.Fatalf("%s: %v in %s", e.where, err, e.text)
	}
	return expr
}

func glob(t *testing.T, pattern ...string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(append([]string{"..", ".."}, pattern...)...))
	if err != nil || len(names) == 0 {
		t.Fatalf("nothing is %v: %v", pattern, err)
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// panels returns the expressions of all dashboards.
func panels(t *testing.T) (all []expression) {
	t.Helper()
	for _, name := range glob(t, "charts", "dashboards", "*.json") {
		var d struct {
			Title  string
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(read(t, name), &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all = append(all, expression{where: d.Title + ": " + p.Title, text: target.Expr, panel: true})
			}
		}
	}
	return all
}

// rule is one of charts/alerts.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	for _, name := range glob(t, "charts", "alerts", "*.yaml") {
		var file struct {
			Groups []struct {
				Name  string
				Rules []rule
			}
		}
		if err := yaml.UnmarshalStrict(read(t, name), &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range file.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

func (r rule) expression() expression {
	return expression{where: r.Alert + r.Record, text: r.Expr, alert: r.Alert != ""}
}

// TestExpressions holds them to the rules of Grafana's dashboard-linter that need a
// parser: counters are under rate or increase, and only those; aggregations come after
// it; windows are Grafana's.
func TestExpressions(t *testing.T) {
	t.Parallel()
	all := panels(t)
	for _, r := range rules(t) {
		all = append(all, r.expression())
	}
	if len(all) < 100 {
		t.Fatalf("only %d expressions were found", len(all))
	}
	for _, e := range all {
		for _, problem := range lint(e, e.parse(t)) {
			t.Errorf("%s: %s in %s", e.where, problem, e.text)
		}
	}
}

func lint(e expression, expr parser.Expr) (problems []string) {
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			if counter := counts(n.Name); counter != underRate(path) && n.Name != "orchestrix_store_free_bytes" {
				problems = append(problems, n.Name+" is a counter without rate, or a gauge with it")
			}
			if e.panel {
				for _, label := range []string{"job", "instance"} {
					if !matches(n, label) {
						problems = append(problems, n.Name+" is not kept to the chosen "+label)
					}
				}
			}
		case *parser.Call:
			if _, ok := argument(n).(*parser.MatrixSelector); !ok && isRate(n) {
				problems = append(problems, n.Func.Name+" of what is no series: aggregate after it")
			}
		}
		return nil
	})
	if e.panel && strings.Contains(e.text, "rate(") && !strings.Contains(e.text, "$__rate_interval") {
		problems = append(problems, "a rate over something else than $__rate_interval")
	}
	return problems
}

func counts(name string) bool {
	for _, suffix := range []string{"_total", "_bucket", "_count", "_sum"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func isRate(c *parser.Call) bool { return c.Func.Name == "rate" || c.Func.Name == "increase" }

func argument(c *parser.Call) parser.Expr {
	if len(c.Args) == 0 {
		return nil
	}
	return c.Args[0]
}

func underRate(path []parser.Node) bool {
	for _, n := range path {
		if c, ok := n.(*parser.Call); ok && isRate(c) {
			return true
		}
	}
	return false
}

func matches(s *parser.VectorSelector, label string) bool {
	for _, m := range s.LabelMatchers {
		if m.Name == label {
			return true
		}
	}
	return false
}

// TestTheLinterFinds what it is for.
func TestTheLinterFinds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`sum(rate(x_total{job=~"$job", instance=~"$instance"}[$__rate_interval]))`:    0,
		`sum(x_total{job=~"$job", instance=~"$instance"})`:                            1,
		`rate(x{job=~"$job", instance=~"$instance"}[$__rate_interval])`:               1,
		`rate(x_total{job=~"$job"}[$__rate_interval])`:                                1,
		`rate(x_total{job=~"$job", instance=~"$instance"}[5m])`:                       1,
		`rate(sum(x_total{job=~"$job", instance=~"$instance"})[$__rate_interval:1s])`: 1,
	} {
		e := expression{where: "test", text: text, panel: true}
		if got := lint(e, e.parse(t)); len(got) != want {
			t.Errorf("%s: %v, want %d", text, got, want)
		}
	}
}
