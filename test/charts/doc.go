// Package charts tests what is under charts: the dashboards, the alerts and the Helm
// chart. It has a module of its own, since what it tests them with (the parser of
// PromQL, Helm's engine, the types of Kubernetes) is many times what the product needs.
//
// Every expression of every dashboard and alert is parsed, held to the rules of
// Grafana's dashboard-linter, and evaluated by a real Prometheus that scrapes a real
// server under a mixed load: none may be an error, and none empty. The alerts' cases
// are run by promtool. The chart is rendered over a matrix of values, and every object
// decoded strictly.
//
// It does not talk to a Grafana or a Kubernetes: neither runs here.
package charts
