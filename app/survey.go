package app

import (
	"context"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orchestrix/orchestrix/dispatcher"
	"github.com/orchestrix/orchestrix/observability"
	"github.com/orchestrix/orchestrix/store"
)

const (
	// surveyEvery is how often the metrics' background looks: a scrape is rarely made
	// more often.
	surveyEvery = 5 * time.Second
	// surveyShare bounds what the looks take of the time, where there is so much to look
	// at that one takes long.
	surveyShare = 20
)

// surveyor looks, in the background, at what a scrape must not look up itself.
type surveyor struct {
	app      *App
	store    *store.Store
	shards   *dispatcher.Surveyor
	stop     context.CancelFunc
	finished sync.WaitGroup
}

// startSurvey looks at once and then again and again, until the clean-ups.
func (a *App) startSurvey(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &surveyor{app: a, store: a.store, shards: dispatcher.NewSurveyor(a.dispatch), stop: cancel}
	s.finished.Go(func() { s.run(ctx) })
	a.onClose("survey", func(context.Context) error {
		s.stop()
		s.finished.Wait()
		return nil
	})
}

func (s *surveyor) run(ctx context.Context) {
	for {
		begun := time.Now()
		if v, err := s.look(ctx); err == nil {
			s.app.metrics.Show(v)
		} else if ctx.Err() == nil {
			s.app.log.Debug("the numbers behind the metrics cannot be read; it is tried again", "error", err)
		}
		select {
		case <-time.After(max(surveyEvery, surveyShare*time.Since(begun))):
		case <-ctx.Done():
			return
		}
	}
}

func (s *surveyor) look(ctx context.Context) (*observability.Survey, error) {
	seen, err := s.shards.Look(ctx)
	if err != nil {
		return nil, err
	}
	v := &observability.Survey{Blocked: seen.Blocked, StoreBytes: stored(ctx, s.store), StoreFree: s.free()}
	for _, q := range seen.Queues {
		v.Queues = append(v.Queues, observability.QueueStanding(q))
	}
	for _, w := range seen.Workers {
		v.Workers = append(v.Workers, observability.WorkerStanding(w))
	}
	return v, nil
}

// free returns the space left on the disk of an embedded store, -1 for any other.
func (s *surveyor) free() int64 {
	name, err := parseStore(s.app.config.Store)
	if err != nil || name.dir == "" {
		return -1
	}
	usage, err := vfs.Default.GetDiskUsage(name.dir)
	if err != nil {
		return -1
	}
	return int64(min(usage.AvailBytes, 1<<62))
}

// stored returns the bytes that the store takes, -1 where it does not tell.
func stored(ctx context.Context, st *store.Store) int64 {
	usage, err := st.Usage(ctx)
	if err != nil {
		return -1
	}
	return usage.Bytes
}
