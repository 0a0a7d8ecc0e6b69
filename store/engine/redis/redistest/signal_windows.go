package redistest

import "os"

// stop and goOn are signals that this system does not have: sending them fails.
var stop, goOn os.Signal = os.Interrupt, os.Interrupt
