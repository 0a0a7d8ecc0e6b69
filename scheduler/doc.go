// Package scheduler says when a schedule fires: cron expressions and intervals,
// in the time zones of the IANA database, whose rules the binary has with it.
//
// It is pure: no clock, no goroutine and no store, so that what will happen can be
// computed as well as what happens now. It promises that each slot of a schedule
// is one instant, that the slots of an expression depend on it, the schedule's
// name and the zone alone, and that finding the next one takes bounded work,
// whatever the expression.
//
// Where clocks are set forward or back, what is meant depends on the expression.
// One whose minute or hour field begins with * follows elapsed time: it fires at
// every instant at which the clock shows a time that matches, so that every quarter
// of an hour stays that. Any other means times of the day: each of them once, at the
// first instant at which the clock shows it or, where it is never shown, a
// later one. So nothing is done twice in autumn, and nothing is left out in
// spring unless the schedule says so (GapSkip). An interval is elapsed time.
package scheduler

import _ "time/tzdata" // zones also where the system has none
