package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Sync waits until the sink has got, or has refused, all that was written down so
// far, and returns the last error of the sink or of the key.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pending) > 0 || l.writing {
		l.idle.Wait()
	}
	return l.err
}

// Err returns the last error of the sink or of the key, without waiting.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close writes that the run ended in order, signs it, and waits for the sink until
// ctx ends.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	again := l.closing
	l.closing = true
	l.mu.Unlock()
	if again {
		return errClosed
	}
	l.nudge()
	select {
	case <-l.done:
		return l.Err()
	case <-ctx.Done():
		return fmt.Errorf("audit: the sink did not take the end of the log: %w", context.Cause(ctx))
	}
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write is the only one that waits for the sink.
func (l *Log) write() {
	defer close(l.done)
	timer := time.NewTimer(l.cfg.HeadAfter)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
			l.Head()
			timer.Reset(l.cfg.HeadAfter)
		}
		for l.writeBatch() {
		}
		if l.finish() {
			l.writeBatch()
			return
		}
	}
}

// finish adds the end of the log, if it is to end.
func (l *Log) finish() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		l.add(&record{Type: typeStop})
		l.signHead()
	}
	return l.closing
}

// writeBatch gives the sink what is pending, and reports whether there was
// anything.
func (l *Log) writeBatch() bool {
	l.mu.Lock()
	lines, from, gapFrom := l.pending, l.first, l.gapFrom
	if len(lines) == 0 {
		l.mu.Unlock()
		return false
	}
	l.pending, l.gapFrom, l.writing = l.spare[:0], 0, true
	l.mu.Unlock()

	n, err := l.cfg.Sink.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare, l.writing = lines[:0], false
	if err != nil {
		l.failed(err, lines, max(min(n, len(lines)), 0), from, gapFrom)
	}
	l.idle.Broadcast()
	return true
}

// failed notes which records the sink does not have: all from the one on that it
// was given in part, and those that wait behind it. It needs the lock.
func (l *Log) failed(err error, lines []byte, n int, from, gapFrom uint64) {
	l.err = fmt.Errorf("audit: sink: %w", err)
	repair := lines[0] == '\n' // ends a line that was torn before
	whole := bytes.Count(lines[:n], []byte{'\n'})
	if repair && n > 0 {
		whole--
	}
	l.torn = n == 0 && repair || n > 0 && lines[n-1] != '\n'
	l.pending, l.gapFrom = l.pending[:0], 0
	l.lost, l.lostSeq = true, from+uint64(whole)
	if whole == 0 && gapFrom != 0 {
		l.lostSeq = gapFrom // the line that said so is lost, too
	}
}

var errClosed = errors.New("audit: the log is closed")
