package box

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/box/seal"
	"github.com/blindbox/blindbox/box/signing"
)

// sealed is what the app prints, on its way to the recipient whom the policy names.
// Each key of the box has a log of its own, from which no segment can be taken over
// into that of the next.
type sealed struct {
	to  age.Recipient
	out *outside

	mu  sync.RWMutex
	log *seal.Log // nil until there is a key
}

// segmentsKept bounds what the log of one key takes of the host's folder. The oldest
// segments go first.
const segmentsKept = 4096

func newSealed(recipient, dir string) (*sealed, error) {
	to, err := seal.ParseRecipient(recipient)
	if err != nil {
		return nil, err
	}
	out, err := openOutside(dir)
	if err != nil {
		return nil, fmt.Errorf("sealed logs: %w", err)
	}
	return &sealed{to: to, out: out}, nil
}

// rekey ends the log of the key before and begins one of this key.
func (s *sealed) rekey(key *signing.Key) error {
	if s == nil {
		return nil
	}
	sink, err := seal.NewDirectory(s.out.root.Name(), time.Now().UTC().Format("20060102T150405Z-")+signing.RandomID()[:8], segmentsKept)
	if err != nil {
		return err
	}
	next, err := seal.New(seal.Config{Recipient: s.to, Key: key, Sink: &watchedSink{sink, s.out}, Now: time.Now})
	if err != nil {
		return err
	}
	s.mu.Lock()
	last := s.log
	s.log = next
	s.mu.Unlock()
	return errors.Join(s.out.put(bundleName(key), key.Bundle()), end(last))
}

// watchedSink tells the box when the host refuses a segment.
type watchedSink struct {
	seal.Sink
	out *outside
}

func (w *watchedSink) WriteSegment(number uint64, text []byte) error {
	return w.out.watched(func() error { return w.Sink.WriteSegment(number, text) })
}

// Write takes what the app prints. It never makes the app wait.
func (s *sealed) Write(p []byte) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.log == nil {
		return len(p), nil
	}
	return s.log.Writer(seal.Stdout).Write(p)
}

// event notes what happened to the box.
func (s *sealed) event(text string) {
	if s == nil {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.log != nil {
		s.log.Event(text)
	}
}

// close sends what is left.
func (s *sealed) close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	last := s.log
	s.log = nil
	s.mu.Unlock()
	return errors.Join(end(last), s.out.root.Close())
}

func end(l *seal.Log) error {
	if l == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordsGrace)
	defer cancel()
	return l.Close(ctx)
}
