package app_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/orchestrix/orchestrix/app"
	"github.com/orchestrix/orchestrix/client"
	"github.com/orchestrix/orchestrix/job"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

func TestRolesAreChecked(t *testing.T) {
	t.Parallel()
	for roles, want := range map[string]string{
		"api,dispatch": "", "dispatch,api": "", "api": "needs both", "dispatch": "needs both",
		"API": "must be api, dispatch", "api,api": "must be api, dispatch", "": "must be api, dispatch",
	} {
		c := app.Defaults()
		c.Roles = strings.Split(roles, ",")
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("--roles %s on a store of one process: %v, want %q", roles, err, want)
		}
	}
	c := app.Defaults()
	c.Store, c.Roles = "redis://127.0.0.1:1", []string{"dispatch"}
	if err := c.Validate(); err != nil {
		t.Errorf("--roles dispatch on Redis: %v", err)
	}
}

// One node takes jobs, the other pushes them.
func TestRolesAreSplit(t *testing.T) {
	t.Parallel()
	c := onRedis(redistest.Start(t).URL(""))
	c.Roles = []string{"api"}
	api := start(t, c)
	c.Roles = []string{"dispatch"}
	dispatch := start(t, c)
	api.register(t, "w", []string{"q"}, nil)
	status(t, api.await(t, api.enqueue(t, client.NewJob{Queue: "q"})), job.Succeeded)
	for _, s := range []*server{api, dispatch} {
		if code, _ := s.ready(t); code != http.StatusOK {
			t.Errorf("ready: %d", code)
		}
	}
	var problem *client.Problem
	if _, err := dispatch.once(t).Enqueue(deadline(t), client.NewJob{Queue: "q", Type: "t"}); !errors.As(err, &problem) || problem.Status != http.StatusNotFound {
		t.Errorf("an enqueue at a node that only pushes: %v", err)
	}
}
