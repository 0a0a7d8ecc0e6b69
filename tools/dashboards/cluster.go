package main

func cluster() dashboard {
	return dashboard{
		name:        "Cluster",
		description: "Who leads, who serves which part, what was fenced off, and how the store does.",
		panels: []panel{
			{stat, "Leaders", "Instances that lead: 1. For some seconds after a change it may be 0.", "short", []target{{"sum(orchestrix_leader{n})", ""}}},
			{stat, "Term", "The term of the leader; it rises with each change.", "short", []target{{"max(orchestrix_leader_term{n})", ""}}},
			{stat, "Shards served", "Shards that some instance serves. Less than there are means queues that nobody serves.", "short", []target{{"sum(orchestrix_shards_owned{n})", ""}}},
			{stat, "Instances", "Instances that answer.", "short", []target{{"count(orchestrix_build_info{n})", ""}}},
			{stat, "Store", "Space taken on the storage. Instances of one store on Redis tell the same.", "bytes", []target{{"max(orchestrix_store_bytes{n})", ""}}},
			{stat, "Queues", "Queues that have jobs, ended ones included.", "short", []target{{"sum(orchestrix_queues{n})", ""}}},
			{stacked, "Shards by instance", "Who serves how many shards.", "short", []target{{"sum by (instance) (orchestrix_shards_owned{n})", "{{instance}}"}}},
			{line, "Leader", "Which instance leads.", "bool", []target{{"max by (instance) (orchestrix_leader{n})", "{{instance}}"}}},
			rates(line, "orchestrix_fenced_commits_total", "{n}", "instance", "Fenced commits", "Writes that were refused, since another instance had taken the shard: one was frozen, or cut off from the store, for longer than its lease.", "ops"),
			rates(line, "orchestrix_attempts_recovered_total", "{n}", "instance", "Lost attempts", "Attempts of instances that died, booked as lost and made again, per second.", "ops"),
			{stacked, "In flight by instance", "Pushes right now.", "short", []target{{"sum by (instance) (orchestrix_pushes_in_flight{n})", "{{instance}}"}}},
			rates(line, "orchestrix_commits_total", "{n}", "instance", "Commits", "Durable writes of the dispatcher, per second.", "ops"),
			quantiles("orchestrix_commit_duration_seconds", "{n}", "s", "Commit duration", "What a durable write of the dispatcher takes."),
			quantiles("orchestrix_commit_changes", "{n}", "short", "Commit size", "Changes in one durable write: the more, the better they are shared."),
			{line, "Store operations, 99 %", "What reads and writes of the store take, by operation; apply is a durable write.", "s", []target{
				{"histogram_quantile(0.99, sum by (operation, le) (rate(orchestrix_store_operation_duration_seconds_bucket{n}[$__rate_interval])))", "{{operation}}"},
			}},
			rates(line, "orchestrix_store_errors_total", "{n}", "operation", "Store errors", "Operations of the store that failed, per second.", "ops"),
			{line, "Disk", "Space taken by an embedded store, and space left on its disk. Below 256 MiB new jobs are refused.", "bytes", []target{
				{"max by (instance) (orchestrix_store_bytes{n})", "taken {{instance}}"},
				{"min by (instance) (orchestrix_store_free_bytes{n})", "left {{instance}}"},
			}},
			{line, "Window", "Memory that ready jobs are counted with.", "bytes", []target{{"sum by (instance) (orchestrix_window_bytes{n})", "{{instance}}"}}},
			{line, "Ready jobs in memory", "The rest of a backlog waits in the store.", "short", []target{{"sum by (instance) (orchestrix_window_jobs{n})", "{{instance}}"}}},
			{line, "Age of the numbers", "How old the backlogs, ages and circuits are that the metrics show; they are read in the background.", "s", []target{{"max by (instance) (orchestrix_survey_age_seconds{n})", "{{instance}}"}}},
		},
	}
}
