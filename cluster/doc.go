// Package cluster makes several coordinators on one store work as one: each node
// tells that it lives, and which shards it is to serve follows from which nodes do.
//
// A node is a member while it has written its record, its heartbeat, within the
// last seconds of the store's time. One of the members leads: it writes where the
// shards are to be served (see Place). Every member follows that while the nodes that
// it names live, and otherwise a hash that all compute alike (see Follow), so that
// nothing stops where nobody leads. That two nodes see different members for a moment
// does no harm: a shard has one owner, whose lease and epoch the store keeps, and a
// node that is too early waits for it; and what a former leader writes is refused.
//
// The package decides who is to serve what. It does not move jobs and it fences
// nothing: the dispatcher takes shards and hands them over, and the store
// refuses what an owner writes that is none any more.
package cluster
