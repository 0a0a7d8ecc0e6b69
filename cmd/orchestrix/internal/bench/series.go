package bench

// Series is what was measured in one state of a server, sample by sample.
type Series struct {
	Name    string   `json:"name"`
	Samples []Sample `json:"samples"`
	// Rate and CPU are the samples' medians.
	Rate float64 `json:"jobs_per_second"`
	CPU  float64 `json:"server_cpu_us_per_job"`
	// WallRatio and CPURatio compare with the series named by Against, round by
	// round, and are the median: 1 is as good, more is better. 0 where there is
	// nothing to compare with.
	Against   string  `json:"against,omitempty"`
	WallRatio float64 `json:"wall_ratio,omitempty"`
	CPURatio  float64 `json:"cpu_ratio,omitempty"`
}

func newSeries(name string, samples []Sample) Series {
	return Series{Name: name, Samples: samples, Rate: medianOf(samples, rateOf), CPU: medianOf(samples, cpuOf)}
}

// compared returns two series, the second one compared with the first.
func compared(baseName string, base []Sample, name string, samples []Sample) []Series {
	s := newSeries(name, samples)
	s.Against = baseName
	s.WallRatio = medianRatio(samples, base, rateOf)
	s.CPURatio = medianRatio(base, samples, cpuOf) // less is better
	return []Series{newSeries(baseName, base), s}
}
