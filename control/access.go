package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orchestrix/orchestrix/job"
)

// Scope is what a key allows: an action, and the queues it is narrowed to. Its
// text is "jobs:write", "jobs:write@billing.*" or "jobs:write@billing".
type Scope struct {
	Action Action
	// Prefix narrows the scope to the queues whose names begin with it; empty
	// means all of them.
	Prefix string
	// Queue narrows the scope to one queue; empty means that Prefix decides.
	Queue string
}

// Action is one of the things that a scope allows.
type Action string

// The actions. Admin allows all of them and, where it is not narrowed, to manage
// keys.
const (
	ActionRead         Action = "read"
	ActionWriteJobs    Action = "jobs:write"
	ActionWriteWorkers Action = "workers:write" // workers and the configuration of queues
	ActionAdmin        Action = "admin"
)

var actions = []Action{ActionRead, ActionWriteJobs, ActionWriteWorkers, ActionAdmin}

// ParseScope reads the text of a scope.
func ParseScope(text string) (Scope, error) {
	action, queues, narrowed := strings.Cut(text, "@")
	s := Scope{Action: Action(action)}
	if !slices.Contains(actions, s.Action) {
		return Scope{}, fmt.Errorf("must begin with read, jobs:write, workers:write or admin")
	}
	if !narrowed {
		return s, nil
	}
	if prefix, ok := strings.CutSuffix(queues, "*"); ok {
		s.Prefix = prefix
	} else {
		s.Queue = queues
	}
	if !job.ValidName(s.Prefix + s.Queue) {
		return Scope{}, fmt.Errorf("must name a queue after @, or the beginning of queues' names and *")
	}
	return s, nil
}

// String returns the text that ParseScope reads.
func (s Scope) String() string {
	switch {
	case s.Queue != "":
		return string(s.Action) + "@" + s.Queue
	case s.Prefix != "":
		return string(s.Action) + "@" + s.Prefix + "*"
	}
	return string(s.Action)
}

func (s Scope) allows(a Action) bool { return s.Action == a || s.Action == ActionAdmin }

func (s Scope) narrowed() bool { return s.Prefix != "" || s.Queue != "" }

func (s Scope) covers(queue string) bool {
	if s.Queue != "" {
		return s.Queue == queue
	}
	return strings.HasPrefix(queue, s.Prefix)
}

// Principal is who asks. The zero Principal may do nothing.
type Principal struct {
	// Name is for logs: the key's id, "root" or "local".
	Name   string
	Scopes []Scope
}

// Root returns the principal that may do everything, for callers within the
// process.
func Root() Principal { return Principal{Name: "root", Scopes: []Scope{{Action: ActionAdmin}}} }

type principalKey struct{}

// As returns a context whose operations are asked for by p.
func As(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// allow returns an error unless the context's principal may do a in every one
// of these queues. Without a queue, a scope over all of them is wanted.
func allow(ctx context.Context, a Action, queues ...string) error {
	p, _ := ctx.Value(principalKey{}).(Principal)
	if len(queues) == 0 && !p.everywhere(a) {
		return forbidden("the key has no %s scope over all queues", a)
	}
	for _, q := range queues {
		if !p.may(a, q) {
			return forbidden("the key has no %s scope for this queue", a)
		}
	}
	return nil
}

func (p Principal) may(a Action, queue string) bool {
	return slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.allows(a) && s.covers(queue) })
}

func (p Principal) everywhere(a Action) bool {
	return slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.allows(a) && !s.narrowed() })
}

// visible returns what the context's principal may read of the queues: nil
// where it may read all. It fails where it may read none.
func visible(ctx context.Context) (func(queue string) bool, error) {
	p, _ := ctx.Value(principalKey{}).(Principal)
	if p.everywhere(ActionRead) {
		return nil, nil
	}
	if !slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.allows(ActionRead) }) {
		return nil, forbidden("the key has no %s scope", ActionRead)
	}
	return func(queue string) bool { return p.may(ActionRead, queue) }, nil
}
