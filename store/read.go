package store

import (
	"context"
	"fmt"

	"github.com/orchestrix/orchestrix/job"
)

// Job returns a job as it stands, without its payload, or ErrNotFound.
func (s *Store) Job(ctx context.Context, id job.ID) (*job.Job, error) {
	data, err := s.get(ctx, spaceJob, id)
	if err != nil {
		return nil, fmt.Errorf("store: job %s: %w", id, err)
	}
	return decodeJob(id, data)
}

// Payload returns a job's payload, or ErrNotFound.
func (s *Store) Payload(ctx context.Context, id job.ID) ([]byte, error) {
	data, err := s.get(ctx, spacePayload, id)
	if err != nil {
		return nil, fmt.Errorf("store: payload of %s: %w", id, err)
	}
	return data, nil
}

// Result returns the answer to the last settled attempt of a job with its
// content type. It returns ErrNotFound where there is no such job, or none of
// its attempts was settled.
func (s *Store) Result(ctx context.Context, id job.ID) (body []byte, contentType string, err error) {
	j, err := s.Job(ctx, id)
	if err != nil {
		return nil, "", err
	}
	if len(j.Attempts) == 0 {
		return nil, "", fmt.Errorf("store: result of %s: %w", id, ErrNotFound)
	}
	last := &j.Attempts[len(j.Attempts)-1]
	if last.AnswerSize <= len(last.Answer) {
		return last.Answer, last.AnswerType, nil
	}
	data, err := s.get(ctx, spaceResult, id)
	if err != nil {
		return nil, "", fmt.Errorf("store: result of %s: %w", id, err)
	}
	attempt, contentType, body, err := parseResult(data)
	if err != nil {
		return nil, "", fmt.Errorf("store: result of %s: %w", id, err)
	}
	if attempt != last.Number { // that of an earlier attempt, whose answer was longer
		return last.Answer, last.AnswerType, nil
	}
	return body, contentType, nil
}

// get returns what is stored of a job in a space, or ErrNotFound.
func (s *Store) get(ctx context.Context, space byte, id job.ID) ([]byte, error) {
	shard := id.Shard()
	if shard >= s.Shards() {
		return nil, ErrNotFound
	}
	values, err := s.engine.Get(ctx, shard, appendIDKey(nil, space, id))
	if err != nil {
		return nil, err
	}
	if values[0] == nil {
		return nil, ErrNotFound
	}
	return values[0], nil
}

// jobs returns the jobs of one shard that are there. It reads in the order of
// ids, which is that of the keys.
func (s *Store) jobs(ctx context.Context, shard int, ids []job.ID) (map[job.ID]*job.Job, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ids = sortedIDs(ids)
	values, err := s.engine.Get(ctx, shard, idKeys(spaceJob, ids)...)
	if err != nil {
		return nil, err
	}
	jobs := make(map[job.ID]*job.Job, len(ids))
	for i, data := range values {
		if data == nil {
			continue
		}
		if jobs[ids[i]], err = decodeJob(ids[i], data); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// payloads returns the payloads of jobs of one shard.
func (s *Store) payloads(ctx context.Context, shard int, ids []job.ID) (map[job.ID][]byte, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ids = sortedIDs(ids)
	values, err := s.engine.Get(ctx, shard, idKeys(spacePayload, ids)...)
	if err != nil {
		return nil, err
	}
	payloads := make(map[job.ID][]byte, len(ids))
	for i, data := range values {
		payloads[ids[i]] = data
	}
	return payloads, nil
}

func idKeys(space byte, ids []job.ID) [][]byte {
	buf := make([]byte, 0, len(ids)*(1+idLength))
	keys := make([][]byte, len(ids))
	for i, id := range ids {
		start := len(buf)
		buf = appendIDKey(buf, space, id)
		keys[i] = buf[start:len(buf):len(buf)]
	}
	return keys
}
