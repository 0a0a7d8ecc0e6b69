package bench

// Memory is the resident memory of a process, in bytes.
type Memory struct {
	After    string `json:"after"`
	Resident int64  `json:"resident_bytes"`
	// Peak is the greatest since the process began.
	Peak int64 `json:"peak_bytes"`
}

// memory returns that of a server; nothing where the system does not tell.
func (s *server) memory(after string) []Memory {
	resident, peak, err := processMemory(s.cmd.Process.Pid)
	if err != nil {
		return nil
	}
	return []Memory{{after, resident, peak}}
}
