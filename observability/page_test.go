package observability_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write docs/metrics.md from the code")

// TestMetricsPage holds the documentation to what is exposed. After a change:
// go test ./observability -run TestMetricsPage -update
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "docs", "metrics.md")
	want := metricsPage(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s differs from the code; go test ./observability -run TestMetricsPage -update (-want +got):\n%s", path, diff)
	}
}

func metricsPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`<!-- Written by "go test ./observability -run TestMetricsPage -update" from package observability. Change it there. -->

# Metrics

Every server serves its own at ` + "`/metrics`" + `, in the formats of Prometheus; add them up over the nodes. A scrape reads memory and takes
some milliseconds whatever the number of queues and jobs: what has to be looked up in the store is looked up in the background, every five
seconds or, where that takes long, as often as costs a twentieth of the time. ` + "`orchestrix_survey_age_seconds`" + ` says how old it is.

Labels are bounded. The first 100 queues that a server has work for, and the first 100 workers, have series of their own; all others share those
of the name ` + "`other`" + `. No job, key, label of a job or URL is ever a label.

Histograms have classic buckets and [native](https://prometheus.io/docs/specs/native_histograms/) ones, for servers that ask for them.

| metric | type | labels | what it is |
| --- | --- | --- | --- |
`)
	for _, f := range gather(t, full(t)) {
		if strings.HasPrefix(f.GetName(), "orchestrix_") {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labelNames(f), f.GetHelp())
		}
	}
	b.WriteString(`
Beside these there are ` + "`go_*`" + ` and ` + "`process_*`" + ` of the Go runtime and the process, as the Go client library of Prometheus names them.
[Charts](../charts/README.md) has dashboards and alerts that are made of all this.
`)
	return b.String()
}

// labelNames returns the labels of a family, in the order of their names.
func labelNames(f *dto.MetricFamily) string {
	var names []string
	for _, l := range f.GetMetric()[0].GetLabel() {
		names = append(names, "`"+l.GetName()+"`")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
