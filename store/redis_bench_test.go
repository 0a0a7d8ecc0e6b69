package store

import (
	"bytes"
	"fmt"
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

// BenchmarkRedisCycle is the way of a batch through the store; redis-cpu-ns is
// what the server's process takes of it.
func BenchmarkRedisCycle(b *testing.B) {
	server := redistest.Shared(b)
	payload := bytes.Repeat([]byte("x"), 1024)
	serverCPU := func() time.Duration {
		var sum float64
		for _, name := range []string{"used_cpu_sys", "used_cpu_user"} {
			var s float64
			info := server.Do(b, "INFO", "cpu").(string)
			if i := bytes.Index([]byte(info), []byte(name+":")); i >= 0 {
				_, _ = fmt.Sscanf(info[i+len(name)+1:], "%f", &s)
			}
			sum += s
		}
		return time.Duration(sum * float64(time.Second))
	}
	for _, part := range []string{"enqueue", "claim and settle"} {
		b.Run(part, func(b *testing.B) {
			e := openRedis(b, 1, nil)
			defer e.Close()
			f := benchFixture(b, e)
			var client, servers time.Duration
			n := 0
			measure := func(on bool, do func()) {
				if !on {
					do()
					return
				}
				c, s := cpuTime(), serverCPU()
				do()
				client, servers = client+cpuTime()-c, servers+serverCPU()-s
			}
			for b.Loop() {
				f.offered = nil
				measure(part == "enqueue", func() { f.enqueue(f.batch(payload)...) })
				entries := f.takeAll(b)
				measure(part != "enqueue", func() {
					f.commit(f.claimAll(entries))
					f.commit(f.settleAll(entries, f.owner.CommitNumber()))
				})
				n += len(entries)
			}
			b.ReportMetric(float64(client.Nanoseconds())/float64(n), "cpu-ns/job")
			b.ReportMetric(float64(servers.Nanoseconds())/float64(n), "redis-cpu-ns/job")
		})
	}
}
