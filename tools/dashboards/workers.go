package main

func workers() dashboard {
	return dashboard{
		name:        "Workers",
		description: "How workers answer, how fast, and which of them are left alone.",
		variables:   []variable{{"worker", "Worker", `label_values(orchestrix_worker_attempts_total{job=~"$job", instance=~"$instance"}, worker)`}},
		panels: []panel{
			rates(stacked, "orchestrix_worker_attempts_total", "{w}", "outcome", "Attempts", "Attempts that ended, by outcome, per second.", "ops"),
			rates(stacked, "orchestrix_worker_attempts_total", "{w}", "status_class", "Answers", "Attempts by the class of the answer's status, per second; none where no answer began.", "ops"),
			{line, "Success", "The part of the attempts that succeeded.", "percentunit", []target{
				{`sum by (worker) (rate(orchestrix_worker_attempts_total{w,outcome="succeeded"}[$__rate_interval])) / sum by (worker) (rate(orchestrix_worker_attempts_total{w}[$__rate_interval]))`, "{{worker}}"},
			}},
			{line, "In flight", "Pushes right now.", "short", []target{{"sum by (worker) (orchestrix_worker_pushes_in_flight{w})", "{{worker}}"}}},
			heatMap("orchestrix_push_duration_seconds", "{w}", "Push duration", "What pushes take, from the dial to the answer's last byte."),
			quantiles("orchestrix_push_duration_seconds", "{w}", "s", "Push duration, quantiles", "What pushes take."),
			{line, "Circuits that are not closed", "Open: the worker is left alone, since too many pushes failed. Half-open: one push at a time tries it. One for each queue.", "short", []target{{"sum by (worker, state) (orchestrix_worker_circuits{w})", "{{worker}} {{state}}"}}},
			{line, "Throttled", "1 while a worker has asked to be left alone.", "bool", []target{{"max by (worker) (orchestrix_worker_throttled{w})", "{{worker}}"}}},
			rates(line, "orchestrix_circuits_opened_total", "{n}", "", "Circuits opened", "How often a circuit was opened, per second. Of all workers.", "ops"),
			{line, "Taken over", "Attempts that workers have taken over and have yet to end, by the instance that waits for them. Of all workers.", "short", []target{{"sum by (instance) (orchestrix_async_attempts{n})", "{{instance}}"}}},
			{line, "Slowest workers", "The ten workers of whose pushes 99 % take longest.", "s", []target{
				{"topk(10, histogram_quantile(0.99, sum by (worker, le) (rate(orchestrix_push_duration_seconds_bucket{w}[$__rate_interval]))))", "{{worker}}"},
			}},
		},
	}
}
