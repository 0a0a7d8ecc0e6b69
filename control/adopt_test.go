package control

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orchestrix/orchestrix/store"
	"github.com/orchestrix/orchestrix/store/engine/model"
)

// An operation is run by one node: by another only when that has not written for
// long, and then not by the first any more.
func TestOperationsAreClaimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store.New(model.New(1, nil))
		ctx := As(context.Background(), Root())
		a, _ := shared(t, s)
		defer a.Close()
		d := document[operationRecord]{Value: operationRecord{
			Kind: OperationCancel, Filter: JobSelection{Queue: "q"}, Status: OperationRunning, Runner: "a node that died",
		}}
		now, err := s.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		d.Name = newOperationID(now)
		if err := a.putOperation(ctx, &d); err != nil {
			t.Fatal(err)
		}
		if err := a.resumeOperations(ctx); err != nil {
			t.Fatal(err)
		}
		read := func() operationRecord {
			t.Helper()
			doc, err := s.GetDocument(ctx, kindOperation, d.Name)
			var r operationRecord
			if err != nil || json.Unmarshal(doc.Data, &r) != nil {
				t.Fatal(err)
			}
			return r
		}
		time.Sleep(operationLease / 3)
		if r := read(); r.over() || r.Runner != "a node that died" {
			t.Errorf("before its node is known to be gone: %+v", r)
		}
		time.Sleep(2 * operationLease)
		if r := read(); r.Status != OperationSucceeded || r.Runner != a.operations.runner {
			t.Errorf("after that: %+v", r)
		}
		// The node was only slow: what it writes now is refused.
		if err := a.saveOperation(ctx, &d); !errors.Is(err, errTaken) {
			t.Errorf("the first node's write: %v", err)
		}
	})
}
