package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/orchestrix/orchestrix/control"
	"github.com/orchestrix/orchestrix/job"
)

// streamWrite is how long a client may take for one event before it is cut off.
const streamWrite = 10 * time.Second

const eventStream = "text/event-stream"

// errStreamCut is a client that does not read, or a server that ends.
var errStreamCut = errors.New("the stream was cut")

// followLog answers who asks for a job's log as a stream, and leaves all others to the
// route. It is no handler of huma's, whose streams have no heartbeat.
func (a *api) followLog(g *gin.Context) {
	if g.Request.Method != http.MethodGet || g.FullPath() != "/v1/jobs/:id/logs" || !wantsStream(g.Request) {
		return
	}
	defer g.Abort()
	ctx, err := a.authenticate(g)
	if err != nil {
		a.fail(g, err)
		return
	}
	path := JobPath{ID: g.Param("id")}
	id, err := path.parse()
	if err != nil {
		a.fail(g, err)
		return
	}
	after, err := lastEvent(g.Request)
	if err != nil {
		a.fail(g, err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)()
	s := &stream{w: g.Writer, control: http.NewResponseController(g.Writer)}
	if err := a.control.FollowLog(ctx, id, after, s.tell); err != nil && !s.begun {
		a.fail(g, err)
	}
}

func wantsStream(r *http.Request) bool {
	if follow := r.URL.Query().Get("follow"); follow != "" {
		return follow == "true"
	}
	return strings.HasPrefix(r.Header.Get("Accept"), eventStream)
}

// lastEvent returns the number of the last line that a client has.
func lastEvent(r *http.Request) (int, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, faultsProblem([]job.FieldError{{Field: "last-event-id", Message: "must be the number of a line"}})
	}
	return n, nil
}

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// jobEnd is the last event's data.
type jobEnd struct {
	Status string `json:"status"`
}

func (s *stream) tell(e control.LogEvent) error {
	if !s.begun {
		s.begun = true
		// Else the request would end with the time that its body may take.
		if err := s.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return errStreamCut
		}
		h := s.w.Header()
		h.Set("Content-Type", eventStream)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // else a proxy keeps lines back
		s.w.WriteHeader(http.StatusOK)
	}
	switch {
	case e.Line != nil:
		return s.write("id: "+strconv.Itoa(e.Line.Number)+"\nevent: log\n", viewLogLine(e.Line))
	case e.Progress != nil:
		return s.write("event: progress\n", viewProgress(*e.Progress))
	case e.Truncated:
		return s.write("event: truncated\n", struct{}{})
	case e.Ended != "":
		return s.write("event: end\n", jobEnd{e.Ended})
	}
	return s.send(": \n\n")
}

// write writes an event whose data is JSON, which has no line break in it.
func (s *stream) write(head string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.send(fmt.Sprintf("%sdata: %s\n\n", head, text))
}

func (s *stream) send(text string) error {
	// A test's writer has no connection.
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errStreamCut
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return errStreamCut
	}
	if s.control.Flush() != nil {
		return errStreamCut
	}
	return nil
}

// describeStream says in the document what else the route answers with.
func (a *api) describeStream() {
	a.huma.OpenAPI().Paths[jobLogPath].Get.Responses["200"].Content[eventStream] = &huma.MediaType{Schema: &huma.Schema{
		Type: huma.TypeString,
		Description: "With Accept: text/event-stream, or follow=true: events log (its id is the line's number, its data a LogLine), progress (a Progress), " +
			"truncated and, at last, end ({\"status\"}). Last-Event-ID continues after that line.",
	}}
}
