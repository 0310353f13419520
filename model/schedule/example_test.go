package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/model/schedule"
)

// A server asks for a run with the request's context, and runs.
func Example() {
	s, err := schedule.New(2, schedule.Limits{Queue: 64, Caller: 16})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	release, err := s.Acquire(ctx, "ward-3")
	var overload *schedule.Overload
	if errors.As(err, &overload) {
		fmt.Println("503, Retry-After:", overload.RetryAfter.Seconds()) // and ctx's error: the caller is gone
		return
	}
	defer release()
	fmt.Println("running:", s.Stats().Running)
	// Output: running: 1
}
