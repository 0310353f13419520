package main

import (
	"net/url"
	"time"
)

// impatience is how long nothing is said while a box is waited for.
const impatience = time.Second

// waitingFor tells people at a terminal what a command waits for, once it has
// taken long enough to wonder. The function that it returns ends that; after
// it, nothing more is written. Pipes and files get nothing.
func (s *session) waitingFor(u *url.URL) (stop func()) {
	if !s.terminal() {
		return func() {}
	}
	return s.noteAfter(impatience, "waiting for "+u.Host+" to prove what it is; Ctrl-C gives up")
}

func (s *session) noteAfter(d time.Duration, text string) (stop func()) {
	written := make(chan struct{})
	timer := time.AfterFunc(d, func() {
		defer close(written)
		s.note("%s\n", oneLine(text))
	})
	return func() {
		if !timer.Stop() {
			<-written
		}
	}
}
