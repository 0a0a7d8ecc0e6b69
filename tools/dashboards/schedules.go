package main

func schedules() dashboard {
	return dashboard{
		name:        "Schedules",
		description: "Do schedules fire, and on time.",
		panels: []panel{
			{stat, "Fired", "Slots that fired in the range.", "short", []target{{`sum(increase(orchestrix_schedule_slots_total{n,result="fired"}[$__range]))`, ""}}},
			{stat, "Missed", "Slots in the range that were too late to be fired.", "short", []target{{`sum(increase(orchestrix_schedule_slots_total{n,result="missed"}[$__range]))`, ""}}},
			{stat, "Skipped", "Slots in the range that were left out, since the run before them had not ended.", "short", []target{{`sum(increase(orchestrix_schedule_slots_total{n,result="skipped"}[$__range]))`, ""}}},
			{stat, "Latest", "Of the slots that fired in the range, 99 % were at most so late.", "s", []target{{"histogram_quantile(0.99, sum by (le) (increase(orchestrix_schedule_lateness_seconds_bucket{n}[$__range])))", ""}}},
			rates(stacked, "orchestrix_schedule_slots_total", "{n}", "result", "Slots", "Slots by what became of them, per second.", "ops"),
			quantiles("orchestrix_schedule_lateness_seconds", "{n}", "s", "Lateness", "How long after its time a slot fired."),
			heatMap("orchestrix_schedule_lateness_seconds", "{n}", "Lateness, spread", "How many slots fired how late."),
		},
	}
}
