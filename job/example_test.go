package job_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/orchestrix/orchestrix/job"
)

func ExampleID() {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	id := job.MakeID(at, job.ShardOf("emails", 64), [9]byte{1, 2, 3})
	fmt.Println(id)
	fmt.Println(id.Time(), id.Shard())
	// Output:
	// job_01kwersrg006rg40r000000000
	// 2026-07-01 12:00:00 +0000 UTC 27
}

func ExampleParseDuration() {
	d, err := job.ParseDuration("1.5d")
	fmt.Println(d, d.Std(), err)
	_, err = job.ParseDuration("-5s")
	fmt.Println(err)
	// Output:
	// 1d12h 36h0m0s <nil>
	// not a duration: want a text such as "250ms", "1m30s" or "2d"
}

func ExamplePolicy_Delay() {
	p := job.Policy{Jitter: job.JitterNone}.Over(job.DefaultPolicy())
	r := rand.New(rand.NewPCG(1, 2))
	for _, failures := range []int{1, 2, 3, 10, 20} {
		fmt.Println(failures, p.Delay(failures, r))
	}
	// Output:
	// 1 1s
	// 2 2s
	// 3 4s
	// 10 8m32s
	// 20 1h0m0s
}

func ExamplePolicy_Over() {
	server := job.DefaultPolicy()
	queue := job.Policy{MaxAttempts: 3, Backoff: job.BackoffFixed}
	p := job.Policy{InitialDelay: job.Duration(2 * time.Hour)}.Over(queue).Over(server)
	fmt.Println(p.MaxAttempts, p.Backoff, p.InitialDelay, p.MaxDelay, p.Jitter)
	// Output: 3 fixed 2h 2h full
}

func ExampleNext() {
	t, ok := job.Next(job.Waiting, job.EventThrottle)
	fmt.Println(t.To, "counts:", t.Counts, ok)
	_, ok = job.Next(job.Dead, job.EventSucceed)
	fmt.Println(ok)
	// Output:
	// waiting counts: false true
	// false
}

func ExampleCheckName() {
	fmt.Printf("%q\n", job.CheckName("billing.invoices"))
	fmt.Println("queue", job.CheckName("Billing Invoices"))
	// Output:
	// ""
	// queue must be 1 to 128 characters of a-z, 0-9 and . _ -, the first a letter or digit
}
