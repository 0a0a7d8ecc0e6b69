package charts

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// TestEveryExpressionShowsSomething: on a real Prometheus, of a real server under a mixed
// load, no expression of a panel or rule is an error, and none is empty. Of an alert it
// is what is compared that has to be there: the load need not be an emergency.
func TestEveryExpressionShowsSomething(t *testing.T) {
	t.Parallel()
	program(t, "prometheus") // before anything is built for it
	s := newServer(t)
	s.workers()
	p := newPrometheus(t, strings.TrimPrefix(s.url, "http://"))
	wanted := p.wanted()
	end := time.After(patience)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for len(wanted) > 0 {
		s.load()
		select {
		case <-tick.C:
			wanted = slices.DeleteFunc(wanted, p.shows)
		case <-end:
			for _, e := range wanted {
				t.Errorf("%s is empty: %s", e.where, e.text)
			}
			return
		}
	}
}

// wanted are all expressions, and what proves that the load is mixed.
func (p *prometheus) wanted() []expression {
	p.t.Helper()
	all := panels(p.t)
	for _, r := range rules(p.t) {
		e := r.expression()
		if r.Record != "" {
			all = append(all, expression{where: e.where, text: r.Record})
			continue
		}
		for _, compared := range compared(e.parse(p.t)) {
			all = append(all, expression{where: e.where, text: compared.String()})
		}
	}
	for _, text := range []string{
		`orchestrix_jobs_settled_total{status="succeeded"} > 0`, `orchestrix_jobs_settled_total{status="dead"} > 0`,
		`orchestrix_attempts_total{outcome="throttled"} > 0`, `orchestrix_worker_throttled{worker="throttling"} > 0`,
		`orchestrix_circuits_opened_total > 0`, `orchestrix_worker_circuits{worker="failing", state="open"} > 0`,
		`orchestrix_retries_total > 0`, `orchestrix_async_attempts > 0`, `orchestrix_schedule_slots_total{result="fired"} > 1`, `orchestrix_queues_blocked{reason="no_worker"} > 0`,
		`orchestrix_queue_oldest_pending_seconds{queue="nobody"} > 0`, `ALERTS{alertname="OrchestrixDeadJobs", alertstate="firing"}`,
	} {
		all = append(all, expression{where: "the load", text: text})
	}
	return all
}

// compared returns what an alert compares: the left sides of its comparisons, and what it
// says is absent.
func compared(e parser.Expr) []parser.Expr {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return compared(n.Expr)
	case *parser.BinaryExpr:
		if n.Op.IsComparisonOperator() {
			return compared(n.LHS)
		}
		if n.Op == parser.LAND {
			return append(compared(n.LHS), compared(n.RHS)...)
		}
	case *parser.Call:
		if n.Func.Name == "absent" {
			return compared(n.Args[0])
		}
	}
	return []parser.Expr{e}
}

// shows reports whether an expression has a number; an error of Prometheus ends the test.
func (p *prometheus) shows(e expression) bool {
	p.t.Helper()
	resp, err := get(p.t.Context(), p.url+"/api/v1/query?query="+url.QueryEscape(variables.Replace(e.text)))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error    string
		Warnings []string
		Data     struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK || len(answer.Warnings) > 0 {
		p.t.Fatalf("%s: %d %s %v %v in %s", e.where, resp.StatusCode, answer.Error, answer.Warnings, err, e.text)
	}
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) {
			return true
		}
	}
	return false
}
