package control

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/job"
)

// sentences say each cause to a person, with what to do about it. What stands in
// braces is put in by sentence.
var sentences = map[dispatcher.Cause]string{
	dispatcher.CauseScheduled: "it is due later: wait, or start it with run-now",
	dispatcher.CauseRetrying:  "its last attempt did not succeed{last}, and the next one is due later: wait, or start it with run-now",
	dispatcher.CauseLostPush:  "the node that pushed it died, and the push may go on{at worker} until its deadline: then it is pushed again",
	dispatcher.CauseElsewhere: "another node serves queue {queue}, and this one does not know what the job waits for there: ask each node of the cluster",
	dispatcher.CauseUnserved:  "no node serves queue {queue} just now: if that lasts, look at the server's log",

	dispatcher.CausePaused:      "queue {queue} is paused{why}: resume it",
	dispatcher.CauseNoWorker:    "no worker serves queue {queue}: register one",
	dispatcher.CauseKeyPaused:   "key {key} is paused by its pin{why}: change or remove the pin",
	dispatcher.CauseKeyTurn:     "the jobs of key {key} run in order, and {job} before it has not ended: see why not with its own explain",
	dispatcher.CauseKeyDead:     "{job} before it is dead and blocks key {key}: retry or delete that job",
	dispatcher.CauseKeyBusy:     "{in flight} of {limit} pushes of key {key} are in flight: wait for one to end, or raise key_concurrency",
	dispatcher.CauseKeyRate:     "the rate of key {key}, {rate}, is used up for now: wait, or raise key_rate",
	dispatcher.CauseConcurrency: "{in flight} of {limit} pushes of queue {queue} are in flight: wait for one to end, or raise its concurrency",
	dispatcher.CauseRamp:        "queue {queue} was resumed just now, and {in flight} of {limit} pushes that it may have already are in flight: wait, it gets more with each second",
	dispatcher.CauseRate:        "the rate of queue {queue}, {rate}, is used up for now: wait, or raise it",

	dispatcher.CauseWorkerPaused:    "worker {worker} is paused{why}: resume it",
	dispatcher.CauseWorkerGone:      "worker {worker} answered 410 Gone and gets nothing more: register it anew",
	dispatcher.CauseWorkerThrottled: "worker {worker} asked to be left alone for a while: wait, or add another worker",
	dispatcher.CauseWorkerCircuit:   "too many pushes of queue {queue} to worker {worker} have failed: its circuit is open, and it is tried with one push at a time: mend the worker, then wait or resume it",
	dispatcher.CauseWorkerRamp:      "worker {worker} has just come back, and {in flight} of {limit} pushes that it may have already are in flight: wait, it gets more with each second",
	dispatcher.CauseWorkerBusy:      "{in flight} of {limit} pushes to worker {worker} are in flight: wait for one to end, or raise its concurrency",

	dispatcher.CauseNodeBusy: "{in flight} of {limit} pushes of this server are in flight: wait for one to end, or raise max-in-flight",
	dispatcher.CauseDraining: "the server is being stopped: the job is pushed when it has started again",
	dispatcher.CauseSuspect:  "the node died whenever it ran: it waits until it can run with no other such job",
	dispatcher.CausePriority: "queue {queue} is strict, and has jobs of a higher priority: they are served first",
	dispatcher.CauseTurn:     "nothing bars it: it is served when its turn comes",
}

// sentence says a wait to a person.
func (c *Control) sentence(j *job.Job, w *dispatcher.Wait) string {
	text, ok := sentences[w.Cause]
	if !ok {
		text = "it waits: {cause}"
	}
	var holder, at, last string
	if len(w.Jobs) > 0 {
		holder = w.Jobs[0].String()
	}
	if w.Worker != "" {
		at = " at worker " + w.Worker
	}
	if j.Reason != job.ReasonNone {
		last = " (" + string(j.Reason) + ")"
	}
	return strings.NewReplacer(
		"{cause}", string(w.Cause), "{queue}", j.Queue, "{key}", strconv.Quote(j.Key), "{worker}", w.Worker, "{at worker}", at,
		"{in flight}", strconv.Itoa(w.InFlight), "{limit}", strconv.Itoa(w.Limit), "{job}", holder, "{last}", last,
		"{rate}", strconv.Itoa(w.Rate.Limit)+" in "+w.Rate.Period.String(), "{why}", c.pauseReason(j, w),
	).Replace(text)
}

// pauseReason is what the person who paused it has said; empty where nothing.
func (c *Control) pauseReason(j *job.Job, w *dispatcher.Wait) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	reason := ""
	switch w.Cause {
	case dispatcher.CausePaused:
		reason = c.live.queues[j.Queue].Value.Reason
	case dispatcher.CauseKeyPaused:
		reason = c.live.queues[j.Queue].Value.Pins[j.Key].Reason
	case dispatcher.CauseWorkerPaused:
		reason = c.live.workers[w.Worker].Value.Reason
	default:
	}
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// endings say why a job has ended, and what can be done.
var endings = map[string]string{
	"succeeded":                      "it has succeeded",
	"dead":                           "it is dead: run it again with retry",
	"cancelled":                      "it was cancelled: run it again with retry",
	"expired":                        "its expires_at passed before an attempt could start: run it again with retry",
	string(job.ReasonPurged):         "its queue was purged: run it again with retry",
	string(job.ReasonReplaced):       "a job with the same content has taken its place: see its replaced_by",
	string(job.ReasonMaxAttempts):    "as many attempts failed as its policy allows: see its attempts, and run it again with retry",
	string(job.ReasonMaxDuration):    "its next attempt would have begun after its policy's max_duration: see its attempts, and run it again with retry",
	string(job.ReasonNoRetry):        "its worker refused it for good (orchestrix-no-retry): see its last answer",
	string(job.ReasonGone):           "its worker answered 410 Gone: register the worker anew, and run it again with retry",
	string(job.ReasonFatalStatus):    "its worker answered with one of its policy's fatal_statuses: see its last answer",
	string(job.ReasonPoison):         "its node died each time it ran: find out why before you run it again with retry",
	string(job.ReasonInvalidRequest): "no request could be made of it: see its last attempt",
}

// endedReason is the one reason of a job that has ended. Its code is the job's reason,
// or the status where that says it all.
func endedReason(j *job.Job) Reason {
	code := cmp.Or(string(j.Reason), j.Status.String())
	message, ok := endings[code]
	if !ok {
		message = endings[j.Status.String()]
	}
	return Reason{Wait: dispatcher.Wait{Cause: dispatcher.Cause(code)}, Message: message}
}
