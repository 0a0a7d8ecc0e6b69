// Package cluster makes several coordinators on one store work as one: each node
// tells that it lives, and which shards it is to serve follows from which nodes do.
//
// A node is a member while it has written its record, its heartbeat, within the
// last seconds of the store's time. Every member computes the same placement
// from the same records (see Place), takes the shards that are placed on it and
// gives back the others, so that nothing stops where nobody leads. That two nodes
// see different members for a moment does no harm: a shard has one owner, whose
// lease and epoch the store keeps, and a node that is too early waits for it.
//
// The package decides who is to serve what. It does not move jobs and it fences
// nothing: the dispatcher takes shards and hands them over, and the store
// refuses what an owner writes that is none any more.
package cluster
