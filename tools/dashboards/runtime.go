package main

func runtime() dashboard {
	return dashboard{
		name:        "Runtime",
		description: "The processes: processor, memory, garbage collection, file descriptors.",
		panels: []panel{
			{line, "Processor", "Cores in use.", "short", []target{{"sum by (instance) (rate(process_cpu_seconds_total{n}[$__rate_interval]))", "{{instance}}"}}},
			{line, "Memory", "Resident memory of the process, and what of it Go's heap is.", "bytes", []target{
				{"sum by (instance) (process_resident_memory_bytes{n})", "resident {{instance}}"},
				{"sum by (instance) (go_memstats_heap_inuse_bytes{n})", "heap {{instance}}"},
			}},
			{line, "Goroutines", "Each push in flight has one.", "short", []target{{"sum by (instance) (go_goroutines{n})", "{{instance}}"}}},
			{line, "Garbage collection, longest pause", "The longest of the last pauses.", "s", []target{{`max by (instance) (go_gc_duration_seconds{n,quantile="1"})`, "{{instance}}"}}},
			rates(line, "go_memstats_alloc_bytes_total", "{n}", "instance", "Allocation", "Memory that is allocated, per second.", "Bps"),
			{line, "File descriptors", "Open ones, and how many may be: connections to workers and clients need one each.", "short", []target{
				{"sum by (instance) (process_open_fds{n})", "open {{instance}}"},
				{"min by (instance) (process_max_fds{n})", "limit {{instance}}"},
			}},
			{line, "Uptime", "Since when each process runs.", "s", []target{{"time() - max by (instance) (process_start_time_seconds{n})", "{{instance}}"}}},
			{table, "Versions", "What runs.", "short", []target{{"max by (instance, version, go_version) (orchestrix_build_info{n})", ""}}},
		},
	}
}
