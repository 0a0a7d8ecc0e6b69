package main

import "strings"

// dashboard is one page of panels.
type dashboard struct {
	name        string
	description string
	variables   []variable // beside the data source, job and instance
	panels      []panel
}

func (d dashboard) file() string { return strings.ToLower(d.name) + ".json" }

// The width of a dashboard, in Grafana's grid.
const columns = 24

// model returns what Grafana calls the dashboard's JSON model.
func (d dashboard) model() map[string]any {
	variables := []any{datasourceVariable()}
	for _, v := range append([]variable{
		{"job", "Job", "label_values(orchestrix_build_info, job)"},
		{"instance", "Instance", `label_values(orchestrix_build_info{job=~"$job"}, instance)`},
	}, d.variables...) {
		variables = append(variables, v.model())
	}
	return map[string]any{
		"uid": "orchestrix-" + strings.ToLower(d.name), "title": "Orchestrix / " + d.name, "description": d.description,
		"tags": []string{tag}, "editable": false, "graphTooltip": 1, "schemaVersion": 39, "version": 1,
		"refresh": "30s", "time": map[string]string{"from": "now-1h", "to": "now"}, "timezone": "",
		"templating": map[string]any{"list": variables}, "annotations": map[string]any{"list": []any{}},
		"links": []any{map[string]any{
			"type": "dashboards", "title": "Orchestrix", "tags": []string{tag}, "asDropdown": true, "keepTime": true, "includeVars": true,
			"icon": "external link", "targetBlank": false, "tooltip": "", "url": "",
		}},
		"panels": layOut(d.panels),
	}
}

// tag marks the dashboards that link to each other.
const tag = "orchestrix"

// layOut puts the panels into rows, from left to right, in their order.
func layOut(panels []panel) []any {
	models := make([]any, 0, len(panels))
	x, y, height := 0, 0, 0
	for i, p := range panels {
		w, h := p.size()
		if x+w > columns {
			x, y, height = 0, y+height, 0
		}
		models = append(models, p.model(i+1, x, y))
		x, height = x+w, max(height, h)
	}
	return models
}

// variable is a choice of label values that a dashboard offers: several, or all.
type variable struct{ name, label, query string }

func (v variable) model() map[string]any {
	return map[string]any{
		"type": "query", "name": v.name, "label": v.label, "datasource": datasource(),
		"query":   map[string]any{"query": v.query, "refId": "StandardVariableQuery"},
		"refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".+",
		"current": map[string]any{"selected": true, "text": "All", "value": "$__all"}, "hide": 0, "regex": "", "options": []any{}, "skipUrlSync": false,
	}
}

func datasourceVariable() map[string]any {
	return map[string]any{
		"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
		"current": map[string]any{"selected": false, "text": "default", "value": "default"}, "hide": 0, "includeAll": false, "multi": false, "options": []any{}, "refresh": 1, "regex": "", "skipUrlSync": false,
	}
}

func datasource() map[string]string {
	return map[string]string{"type": "prometheus", "uid": "${datasource}"}
}
