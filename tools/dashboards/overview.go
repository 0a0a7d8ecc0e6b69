package main

// objective is what part of the jobs that end may end badly: the error budget of the
// objective that 99.9 % succeed. charts/alerts burns the same.
const objective = "0.001"

const (
	bad   = `sum(increase(orchestrix_jobs_settled_total{n,status=~"dead|expired"}[$__range]))`
	ended = `sum(increase(orchestrix_jobs_settled_total{n,status!="cancelled"}[$__range]))`
)

func overview() dashboard {
	return dashboard{
		name:        "Overview",
		description: "Are jobs done, how fast, and what waits: the first page to look at.",
		panels: []panel{
			{stat, "Jobs that succeeded", "Of the jobs that ended in the range, cancelled ones left out, how many succeeded. The objective is 99.9 %.", "percentunit", []target{{"1 - " + bad + " / " + ended, ""}}},
			{stat, "Error budget left", "What is left, in this range, of the tenth of a percent of jobs that may end dead or expired. Below 0 it is spent.", "percentunit", []target{{"1 - (" + bad + " / " + ended + ") / " + objective, ""}}},
			{stat, "Ended per second", "Jobs that became terminal, per second, over the last minutes.", "ops", []target{{"sum(rate(orchestrix_jobs_settled_total{n}[$__rate_interval]))", ""}}},
			{stat, "In flight", "Pushes right now, over all instances.", "short", []target{{"sum(orchestrix_pushes_in_flight{n})", ""}}},
			{stat, "Waiting", "Jobs that have not ended and are not being pushed.", "short", []target{{`sum(orchestrix_queue_jobs{n,status=~"pending|scheduled|retrying"})`, ""}}},
			{stat, "Oldest pending job", "For how long the oldest job has waited that is due.", "s", []target{{"max(orchestrix_queue_oldest_pending_seconds{n})", ""}}},
			{line, "Throughput", "Jobs that were enqueued and jobs that ended, by status, per second. Where the first stays above the rest, the backlog grows.", "ops", []target{
				{"sum(rate(orchestrix_jobs_enqueued_total{n}[$__rate_interval]))", "enqueued"},
				{"sum by (status) (rate(orchestrix_jobs_settled_total{n}[$__rate_interval]))", "{{status}}"},
			}},
			rates(stacked, "orchestrix_attempts_total", "{n}", "outcome", "Attempts", "Attempts that ended, by outcome, per second.", "ops"),
			{line, "Failure rate", "The part of the attempts that failed or timed out. Throttled ones are the worker's wish and left out.", "percentunit", []target{
				{`sum(rate(orchestrix_attempts_total{n,outcome=~"failed|timed_out"}[$__rate_interval])) / sum(rate(orchestrix_attempts_total{n}[$__rate_interval]))`, "failed"},
			}},
			{line, "Retries and throttles", "Pushes that were not the first of their job, and attempts that a worker put off, per second.", "ops", []target{
				{"sum(rate(orchestrix_retries_total{n}[$__rate_interval]))", "retries"},
				{`sum(rate(orchestrix_attempts_total{n,outcome="throttled"}[$__rate_interval]))`, "throttled"},
			}},
			heatMap("orchestrix_start_latency_seconds", "{n}", "Start latency", "From the time a job was due to its push: how many jobs waited how long."),
			quantiles("orchestrix_start_latency_seconds", "{n}", "s", "Start latency, quantiles", "From the time a job was due to its push."),
			quantiles("orchestrix_push_duration_seconds", "{n}", "s", "Push duration", "What pushes take, from the dial to the answer's last byte: the workers' time."),
			quantiles("orchestrix_job_duration_seconds", "{n}", "s", "End to end", "From enqueue, or the time a job was to run, to its success, retries included."),
			{stacked, "Jobs that have not ended", "By what is shown of them.", "short", []target{{`sum by (status) (orchestrix_queue_jobs{n,status=~"pending|running|scheduled|retrying"})`, "{{status}}"}}},
			{line, "Oldest pending jobs", "The ten queues whose oldest due job has waited longest.", "s", []target{{"topk(10, max by (queue) (orchestrix_queue_oldest_pending_seconds{n}))", "{{queue}}"}}},
			rates(stacked, "orchestrix_http_requests_total", "{n}", "status", "API requests", "Requests to the API by status, per second.", "reqps"),
			quantiles("orchestrix_http_request_duration_seconds", `{n,route!~"/healthz|/readyz|/metrics"}`, "s", "API latency", "What requests to the API take, the waiting of those that wait for a job included."),
		},
	}
}
