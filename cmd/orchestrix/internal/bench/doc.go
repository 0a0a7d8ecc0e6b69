// Package bench measures, in one run on one machine, a bare net/http POST loop
// to a worker and then the whole pipeline to the same worker: REST in, durable,
// signed push, answer recorded. What it is for is the ratio of the two, which
// says what durability, order and retries cost; the absolute rates are those of
// the machine.
//
// Worker and server are processes of their own, of the same binary, so that the
// CPU of all three can be told apart and added up. It promises that a phase
// only counts when the worker has seen each job, signed, and the server has
// recorded each as succeeded. It tunes nothing and warms nothing up beyond the
// connections of the first phase.
//
// RunBacklog, RunIsolation and RunSpread measure what a long backlog, a hanging
// worker, and many queues and keys cost, each beside the same without it and in
// turn with it: of them, too, the ratios count. docs/benchmarks.md says how to
// read all of them.
package bench
