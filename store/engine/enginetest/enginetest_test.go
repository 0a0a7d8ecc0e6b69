package enginetest

import (
	"testing"

	"github.com/orchestrix/orchestrix/store/engine"
)

// The suite has to see every fault, each by the check that is there for it.
func TestSuiteCatchesFaults(t *testing.T) {
	t.Parallel()
	checks := map[string]func(*subject){}
	for _, c := range cases() {
		checks[c.name] = c.check
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			open := openFaulty(f.install)
			if failed, _ := record(t, func(t testing.TB) { checks[f.check](newSubject(t, open)) }); !failed {
				t.Errorf("%q passes", f.check)
			}
			if !f.model {
				return
			}
			if failed, _ := record(t, func(t testing.TB) { checkModel(t, open) }); !failed {
				t.Error("the model does not see it")
			}
		})
	}
}

// The same harness lets a good engine pass: what it records above are faults.
func TestSuitePassesAGoodEngine(t *testing.T) {
	t.Parallel()
	open := openFaulty(nil)
	catching := map[string]bool{}
	for _, f := range faults {
		catching[f.check] = true
	}
	for _, c := range cases() {
		if !catching[c.name] {
			continue
		}
		if failed, log := record(t, func(t testing.TB) { c.check(newSubject(t, open)) }); failed {
			t.Errorf("%s:\n%s", c.name, log)
		}
	}
	if failed, log := record(t, func(t testing.TB) { checkModel(t, open) }); failed {
		t.Errorf("Model:\n%s", log)
	}
}

// An engine that loses its data is seen where it can be opened again.
func TestSuiteCatchesLossOnReopen(t *testing.T) {
	t.Parallel()
	forgetful := func(t testing.TB) Store {
		s := openFaulty(nil)(t)
		s.Reopen = func(t testing.TB) engine.Engine { return openFaulty(nil)(t).Engine }
		return s
	}
	for _, c := range lifeChecks {
		if c.name != "Reopen/keeps what was acknowledged" && c.name != "Reopen/goes on where it was" {
			continue
		}
		if failed, _ := record(t, func(t testing.TB) { c.check(newSubject(t, forgetful)) }); !failed {
			t.Errorf("%q passes", c.name)
		}
	}
	if failed, _ := record(t, func(t testing.TB) { checkModel(t, forgetful) }); !failed {
		t.Error("the model does not see it")
	}
}
