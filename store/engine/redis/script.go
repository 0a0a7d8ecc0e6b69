package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/orchestrix/orchestrix/store/engine"
)

//go:embed lua/*.lua
var sources embed.FS

// script is a Lua script with the digest that the server knows it by.
type script struct {
	name, source, digest string
	// durable says that its effect is to survive what Durability names.
	durable bool
}

var (
	applyScript    = newScript("apply", true)
	acquireScript  = newScript("acquire", true)
	renewScript    = newScript("renew", false)
	releaseScript  = newScript("release", true)
	headScript     = newScript("head", false)
	getScript      = newScript("get", false)
	scanScript     = newScript("scan", false)
	countersScript = newScript("counters", false)
	namesScript    = newScript("names", false)
)

func newScript(name string, durable bool) *script {
	s := &script{name: name, durable: durable}
	for _, file := range []string{"prelude", name} {
		text, err := sources.ReadFile("lua/" + file + ".lua")
		if err != nil {
			panic(err) // not embedded: the program was built wrong
		}
		s.source += string(text)
	}
	sum := sha1.Sum([]byte(s.source))
	s.digest = hex.EncodeToString(sum[:])
	return s
}

// The codes that a script answers with; prelude.lua has the same.
const (
	codeOK = iota
	codeMissing
	codeDamaged
	codeFenced
	codeHistory
	codeRepeated
	codeHeld
	codeOverflow
)

// call runs a script on a shard and returns its answer, whose code is one of
// codes or codeOK; what else a script may answer is an error.
func (e *Engine) call(ctx context.Context, n int, s *script, keys []string, args []any, codes ...int) (int, *reader, error) {
	a, err := e.run(ctx, s, keys, args)
	if err != nil {
		return 0, nil, fmt.Errorf("%s shard %d: %w", s.name, n, err)
	}
	r := &reader{data: []byte(a.text)}
	r.array()
	code := int(r.integer())
	if code == codeMissing {
		return 0, nil, fmt.Errorf("shard %d of %s: %w: put the data back, or see orchestrix store accept-loss", n, e.servers.target, engine.ErrMissing)
	}
	e.clock.told(r.integer())
	if r.failed || code == codeDamaged {
		return 0, nil, fmt.Errorf("%s shard %d: %w: its head or the script's answer cannot be read", s.name, n, engine.ErrCorrupt)
	}
	switch {
	case code == codeOK, slices.Contains(codes, code):
		if a.unconfirmed != nil {
			return 0, nil, fmt.Errorf("%s shard %d: %w: %w", s.name, n, engine.ErrUnavailable, a.unconfirmed)
		}
		return code, r, nil
	case code == codeFenced:
		return 0, nil, fmt.Errorf("%s shard %d: %w", s.name, n, engine.ErrFenced)
	}
	return 0, nil, fmt.Errorf("%s shard %d: the script answers %d", s.name, n, code)
}

// answer is what came back: the script's text, and why it is not as durable as it
// has to be.
type answer struct {
	text        string
	unconfirmed error
}

// run sends the script by its digest, and whole where the server has forgotten
// it.
func (e *Engine) run(ctx context.Context, s *script, keys []string, args []any) (answer, error) {
	a, err := e.send(ctx, s, "EVALSHA", s.digest, keys, args)
	if isReply(err, "NOSCRIPT") {
		a, err = e.send(ctx, s, "EVAL", s.source, keys, args)
	}
	if err != nil {
		return answer{}, e.classify(ctx, err)
	}
	return a, nil
}

// send sends the script; one that makes something durable waits for replicas on
// the same connection.
func (e *Engine) send(ctx context.Context, s *script, command, body string, keys []string, args []any) (a answer, err error) {
	full := make([]any, 0, 3+len(keys)+len(args))
	full = append(full, command, body, len(keys))
	for _, key := range keys {
		full = append(full, key)
	}
	eval := redis.NewCmd(ctx, append(full, args...)...)
	if replicas := e.durability.replicas; replicas > 0 && s.durable {
		wait := redis.NewIntCmd(ctx, "WAIT", replicas, e.waitLimit().Milliseconds())
		err = e.servers.do(ctx, keys[0], eval, wait)
		if eval.Err() == nil {
			err, a.unconfirmed = nil, confirmed(wait, replicas)
		}
	} else {
		err = e.servers.do(ctx, keys[0], eval)
	}
	a.text, _ = eval.Val().(string)
	return a, err
}

func confirmed(wait *redis.IntCmd, replicas int) error {
	if err := wait.Err(); err != nil {
		return fmt.Errorf("wait for replicas: %w", err)
	}
	if got := int(wait.Val()); got < replicas {
		return fmt.Errorf("%d of %d replicas have confirmed the write in time", got, replicas)
	}
	return nil
}

// waitLimit leaves the answer some time to come within the call's limit.
func (e *Engine) waitLimit() time.Duration { return e.servers.target.timeout * 2 / 3 }
