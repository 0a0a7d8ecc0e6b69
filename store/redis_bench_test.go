package store

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orchestrix/orchestrix/store/engine/redis"
	"github.com/orchestrix/orchestrix/store/engine/redis/redistest"
)

// BenchmarkRedisMemory tells what a job takes of the server's memory while it
// waits, and when it has ended.
func BenchmarkRedisMemory(b *testing.B) {
	sample := []byte(`{"customer":"cus_8f31c2","amount":1999,"currency":"eur","items":[{"sku":"A-1001","quantity":2},{"sku":"B-77","quantity":1}],"note":"deliver after six"} `)
	for _, size := range []int{0, 100, 1024} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			server := redistest.Shared(b)
			prefix := fmt.Sprint("memory-", redisStores.Add(1))
			target, err := redis.Parse(server.URL("?prefix=" + prefix))
			if err != nil {
				b.Fatal(err)
			}
			e, err := redis.Open(ctx(), target, redis.Options{Shards: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			used := func() (sum int64) {
				for _, key := range []string{"head", "data", "index", "counters", "names"} {
					n, _ := server.Do(b, "MEMORY", "USAGE", "{"+prefix+":0}:"+key, "SAMPLES", 0).(int64)
					sum += n
				}
				return sum
			}
			f := benchFixture(b, e)
			payload := bytes.Repeat(sample, 1+size/len(sample))[:size]
			var jobs, waiting, ended float64
			for b.Loop() {
				before := used()
				for range 10 {
					f.offered = nil
					f.enqueue(f.batch(payload)...)
					entries := f.takeAll(b)
					jobs += float64(len(entries))
					waiting += float64(used() - before)
					f.commit(f.claimAll(entries))
					f.commit(f.settleAll(entries, f.owner.CommitNumber()))
					ended += float64(used() - before)
					before = used()
				}
			}
			b.ReportMetric(waiting/jobs, "bytes/waiting-job")
			b.ReportMetric(ended/jobs, "bytes/ended-job")
		})
	}
}

// BenchmarkRedisCycle is the way of a batch through the store, by the size of the
// batch: what the server's process takes of it, how many commands it is asked for
// (those of scripts among them), how many bytes come and go. docs/scale.md is made of
// these numbers.
func BenchmarkRedisCycle(b *testing.B) {
	server := redistest.Start(b, "appendfsync everysec") // as is usual: each sync costs the process too
	for _, part := range []string{"enqueue", "read", "commit"} {
		for _, size := range []int{1, 4, 16, 64, 500} {
			b.Run(fmt.Sprintf("%s/batch=%d", part, size), func(b *testing.B) { benchRedisCycle(b, server, part, size) })
		}
	}
}

func benchRedisCycle(b *testing.B, server *redistest.Server, part string, size int) {
	e := openRedisAt(b, server.URL(""), 1, nil)
	defer e.Close()
	f := benchFixture(b, e)
	payload := bytes.Repeat([]byte("x"), 1024)
	var client, servers time.Duration
	var commands, in, out, jobs float64
	measure := func(name string, do func()) {
		if name != part {
			do()
			return
		}
		c, before := cpuTime(), readInfo(b, server)
		do()
		after := readInfo(b, server)
		client, servers = client+cpuTime()-c, servers+after.cpu-before.cpu
		commands += after.commands - before.commands - 1 // one INFO lies between the two
		in, out = in+after.in-before.in, out+after.out-before.out-before.answer
	}
	for b.Loop() {
		f.offered = nil
		var batches [][]*Entry
		rounds := max(1, 500/size)
		measure("enqueue", func() {
			for range rounds {
				f.enqueue(f.batch(payload)[:size]...)
			}
		})
		if part == "read" {
			for range rounds { // as the owner does what another node has enqueued
				var entries []*Entry
				measure(part, func() {
					if _, _, err := f.owner.Look(ctx()); err != nil {
						b.Fatal(err)
					}
					for len(entries) < size {
						read, _, err := f.owner.ReadLane(ctx(), lane("q"), size-len(entries), 8<<20)
						if err != nil {
							b.Fatal(err)
						}
						entries = append(entries, read...)
					}
				})
				batches = append(batches, entries)
			}
		} else {
			entries := f.takeAll(b)
			for range rounds {
				batches = append(batches, entries[:size])
				entries = entries[size:]
			}
		}
		measure("commit", func() {
			for _, batch := range batches {
				f.commit(f.claimAll(batch))
				f.commit(f.settleAll(batch, f.owner.CommitNumber()))
			}
		})
		jobs += float64(rounds * size)
	}
	b.ReportMetric(float64(client.Nanoseconds())/jobs, "cpu-ns/job")
	b.ReportMetric(float64(servers.Nanoseconds())/jobs, "redis-cpu-ns/job")
	b.ReportMetric(commands/jobs, "commands/job")
	b.ReportMetric(in/jobs, "bytes-in/job")
	b.ReportMetric(out/jobs, "bytes-out/job")
}

// info is what the server says of itself, with what it takes to ask.
type info struct {
	cpu               time.Duration
	commands, in, out float64
	answer            float64 // the bytes of what it said
}

func readInfo(b *testing.B, server *redistest.Server) (i info) {
	text := server.Do(b, "INFO", "everything").(string)
	number := func(name string) (n float64) {
		at := strings.Index(text, "\n"+name+":")
		if at < 0 {
			b.Fatalf("the server does not tell %s", name)
		}
		if _, err := fmt.Sscanf(text[at+len(name)+2:], "%f", &n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	i.cpu = time.Duration((number("used_cpu_sys") + number("used_cpu_user")) * float64(time.Second))
	i.commands, i.in, i.out = number("total_commands_processed"), number("total_net_input_bytes"), number("total_net_output_bytes")
	i.answer = float64(len(text))
	return i
}
