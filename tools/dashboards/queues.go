package main

func queues() dashboard {
	return dashboard{
		name:        "Queues",
		description: "What waits in a queue, how fast it is worked off, and what holds it up.",
		variables:   []variable{{"queue", "Queue", `label_values(orchestrix_queue_jobs{job=~"$job", instance=~"$instance"}, queue)`}},
		panels: []panel{
			{stacked, "Jobs that have not ended", "By what is shown of them, of the chosen queues.", "short", []target{{`sum by (status) (orchestrix_queue_jobs{q,status=~"pending|running|scheduled|retrying"})`, "{{status}}"}}},
			{line, "Oldest pending job", "For how long the oldest due job has waited.", "s", []target{{"max by (queue) (orchestrix_queue_oldest_pending_seconds{q})", "{{queue}}"}}},
			rates(line, "orchestrix_queue_jobs_enqueued_total", "{q}", "queue", "Enqueued", "Jobs that were stored, per second.", "ops"),
			rates(line, "orchestrix_queue_jobs_settled_total", "{q}", "status", "Ended", "Jobs that became terminal, by status, per second.", "ops"),
			rates(stacked, "orchestrix_queue_attempts_total", "{q}", "outcome", "Attempts", "Attempts that ended, by outcome, per second.", "ops"),
			{line, "Failure rate", "The part of the attempts that failed or timed out.", "percentunit", []target{
				{`sum by (queue) (rate(orchestrix_queue_attempts_total{q,outcome=~"failed|timed_out"}[$__rate_interval])) / sum by (queue) (rate(orchestrix_queue_attempts_total{q}[$__rate_interval]))`, "{{queue}}"},
			}},
			heatMap("orchestrix_start_latency_seconds", "{q}", "Start latency", "From the time a job was due to its push: limits and a lack of workers show here."),
			quantiles("orchestrix_start_latency_seconds", "{q}", "s", "Start latency, quantiles", "From the time a job was due to its push."),
			quantiles("orchestrix_job_duration_seconds", "{q}", "s", "End to end", "From enqueue, or the time a job was to run, to its success."),
			{line, "Dead jobs kept", "Jobs that ended dead and have not been removed: each is to be looked at, run again or deleted.", "short", []target{{`sum by (queue) (orchestrix_queue_jobs{q,status="dead"})`, "{{queue}}"}}},
			{line, "Queues that are held up", "How many queues have ready jobs that wait for something else than their turn, by the reason. Of all queues.", "short", []target{{"sum by (reason) (orchestrix_queues_blocked{n})", "{{reason}}"}}},
			rates(line, "orchestrix_enqueues_full_total", "{n}", "", "Refused for want of room", "Jobs that were refused since their queue was full, per second. Of all queues.", "ops"),
		},
	}
}
