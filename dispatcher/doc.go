// Package dispatcher decides which job is pushed when, to which worker, and
// what becomes of it. It is the heart of the project.
//
// The decisions are taken by a pure state machine, one for each shard: step
// takes events and the time and returns effects. It has no clock, no I/O, no
// goroutine and no lock, so that it is simulated: millions of steps with random
// faults, replayed from a seed. Around it, a thin loop (loop.go) feeds it events
// and carries out its effects: it reads the store, commits, and starts pushes.
// A Dispatcher runs one loop for each shard that its node owns.
//
// What it promises: no push of a job starts before its claim is durable, none
// after the job is terminal; limits are never exceeded; every acknowledged job
// ends in exactly one terminal status or waits. A crash repeats at most the
// pushes that were in flight.
//
// What it does not do: it never knows which engine it writes to, and it never
// reads the clock of its own machine for a due time: that is the store's.
package dispatcher
