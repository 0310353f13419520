package main

import (
	"bytes"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestNoteAfter(t *testing.T) {
	wrote := make(chan string, 1)
	s := &session{stderr: writerFunc(func(p []byte) { wrote <- string(p) })}
	stop := s.noteAfter(time.Nanosecond, "waiting for evil\x1b[31m")
	select {
	case got := <-wrote:
		if got != "waiting for evil [31m\n" {
			t.Errorf("%q", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing is said")
	}
	stop()
	stop = s.noteAfter(time.Hour, "never")
	stop()
	if len(wrote) != 0 {
		t.Errorf("%q after the end", <-wrote)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// TestPipesAreNotTold: a script that keeps standard error sees no progress.
func TestPipesAreNotTold(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() }) // it takes connections and says nothing
	for _, args := range [][]string{
		{"verify", "--timeout", "1200ms", "https://" + ln.Addr().String()},
		{"connect", "--listen", "127.0.0.1:0", "--trust", "testdata/any.trust.yaml", "--timeout", "1200ms", "https://" + ln.Addr().String()},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			if code, _, stderr := inMemory(t, time.Now, args...); code != 3 || strings.Contains(stderr, "waiting") {
				t.Errorf("exit %d, %s", code, stderr)
			}
		})
	}
	stop := (&session{stderr: &bytes.Buffer{}}).waitingFor(&url.URL{Host: "box.example"})
	stop()
}
