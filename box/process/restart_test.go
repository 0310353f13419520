package process

import (
	"os"
	"runtime"
	"slices"
	"testing"
)

// TestStartedAnew: the app is another process after it, nobody is told that it ended,
// and one that was stopped is not started anew.
func TestStartedAnew(t *testing.T) {
	exited := make(chan string, 10)
	a := New(app(t, "serve"), config(exited))
	if _, err := a.Processes(); err == nil {
		t.Error("processes of an app that was not started")
	}
	started(t, a)
	before := processesOf(t, a)
	if err := a.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !a.Accepting() {
		t.Error("it was started anew and does not accept")
	}
	after := processesOf(t, a)
	if runtime.GOOS == "linux" && (len(before) == 0 || slices.Equal(before, after) || slices.Contains(after, os.Getpid())) {
		t.Errorf("processes %v before and %v after", before, after)
	}
	a.Stop()
	if err := a.Restart(t.Context()); err == nil {
		t.Error("an app that was stopped was started anew")
	}
	if len(exited) > 0 {
		t.Errorf("it ended by itself: %s", <-exited)
	}
}

func processesOf(t *testing.T, a *App) []int {
	t.Helper()
	pids, err := a.Processes()
	if (err == nil) != (runtime.GOOS == "linux") {
		t.Errorf("%v, %v", pids, err)
	}
	return pids
}
