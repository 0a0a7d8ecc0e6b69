package main

import (
	"fmt"
	"strings"
)

// panel is one picture with its expressions.
type panel struct {
	kind        kind
	title       string
	description string
	unit        string
	targets     []target
}

type kind string

// The kinds of panels. A line shows numbers over time, a stat one number, a heat map the
// buckets of a histogram over time, a table the newest labels.
const (
	line    kind = "timeseries"
	stacked kind = "stacked"
	stat    kind = "stat"
	heat    kind = "heatmap"
	table   kind = "table"
)

// target is an expression and what its lines are called. In expr, {n} stands for the
// chosen job and instances; {q} and {w} for these and the chosen queues or workers.
// {n,x="y"} adds matchers.
type target struct{ expr, legend string }

func (p panel) size() (width, height int) {
	if p.kind == stat {
		return 4, 4
	}
	return 12, 8
}

func (p panel) model(id, x, y int) map[string]any {
	w, h := p.size()
	m := map[string]any{
		"id": id, "type": string(p.kind), "title": p.title, "description": p.description, "datasource": datasource(),
		"gridPos":     map[string]int{"x": x, "y": y, "w": w, "h": h},
		"fieldConfig": map[string]any{"defaults": p.defaults(), "overrides": []any{}},
		"options":     p.options(), "targets": p.queries(), "transparent": false,
	}
	if p.kind == stacked {
		m["type"] = string(line)
	}
	return m
}

func (p panel) queries() []any {
	queries := make([]any, len(p.targets))
	for i, t := range p.targets {
		q := map[string]any{
			"refId": string(rune('A' + i)), "datasource": datasource(), "editorMode": "code", "expr": expand(t.expr), "legendFormat": t.legend,
			"range": p.kind != stat && p.kind != table, "instant": p.kind == stat || p.kind == table, "format": "time_series",
			"exemplar": p.kind == line && strings.Contains(t.expr, "_bucket"),
		}
		switch p.kind {
		case heat:
			q["format"] = "heatmap"
		case table:
			q["format"] = "table"
		}
		queries[i] = q
	}
	return queries
}

var selectors = strings.NewReplacer(
	"{n", `{job=~"$job", instance=~"$instance"`,
	"{q", `{job=~"$job", instance=~"$instance", queue=~"$queue"`,
	"{w", `{job=~"$job", instance=~"$instance", worker=~"$worker"`,
)

// expand writes out the selectors of an expression.
func expand(expr string) string { return selectors.Replace(expr) }

func (p panel) defaults() map[string]any {
	d := map[string]any{"unit": p.unit, "min": 0, "color": map[string]string{"mode": "palette-classic"}}
	switch p.kind {
	case line, stacked:
		custom := map[string]any{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false}
		if p.kind == stacked {
			custom["fillOpacity"], custom["stacking"] = 40, map[string]string{"mode": "normal", "group": "A"}
		}
		d["custom"] = custom
	case stat, table, heat:
		delete(d, "min") // an error budget that is spent is below 0
	}
	return d
}

func (p panel) options() map[string]any {
	switch p.kind {
	case stat:
		return map[string]any{
			"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "value", "graphMode": "none", "textMode": "auto", "justifyMode": "auto", "orientation": "auto",
		}
	case heat:
		return map[string]any{
			"calculate": false, "cellGap": 1, "yAxis": map[string]any{"unit": p.unit, "axisPlacement": "left"},
			"color":   map[string]any{"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
			"tooltip": map[string]any{"mode": "single", "yHistogram": true}, "legend": map[string]any{"show": true}, "rowsFrame": map[string]any{"layout": "auto"},
		}
	case table:
		return map[string]any{"showHeader": true, "footer": map[string]any{"show": false}}
	case line, stacked:
	}
	return map[string]any{
		"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
}

// quantiles shows a histogram's 50, 95 and 99 %.
func quantiles(histogram, selector, unit, title, description string) panel {
	p := panel{kind: line, title: title, description: description + " Half of them, 95 and 99 % take at most so long.", unit: unit}
	for _, q := range []struct{ of, name string }{{"0.5", "p50"}, {"0.95", "p95"}, {"0.99", "p99"}} {
		p.targets = append(p.targets, target{fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s_bucket%s[$__rate_interval])))", q.of, histogram, selector), q.name})
	}
	return p
}

// heatMap shows how a histogram's values are spread over time.
func heatMap(histogram, selector, title, description string) panel {
	return panel{heat, title, description, "s", []target{{fmt.Sprintf("sum by (le) (increase(%s_bucket%s[$__rate_interval]))", histogram, selector), "{{le}}"}}}
}

// rates shows counters per second, by a label.
func rates(kind kind, counter, selector, by, title, description, unit string) panel {
	if by == "" {
		return panel{kind, title, description, unit, []target{{fmt.Sprintf("sum(rate(%s%s[$__rate_interval]))", counter, selector), title}}}
	}
	return panel{kind, title, description, unit, []target{{fmt.Sprintf("sum by (%s) (rate(%s%s[$__rate_interval]))", by, counter, selector), legendOf(by)}}}
}

func legendOf(by string) string {
	labels := strings.Split(by, ", ")
	for i, l := range labels {
		labels[i] = "{{" + l + "}}"
	}
	return strings.Join(labels, " ")
}
