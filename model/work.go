package model

import (
	"context"

	"github.com/blindbox/blindbox/model/schedule"
)

// work is what a request takes of a processor beside its run: reading a long body,
// writing a long answer. The first of it is free, as it takes less than to wait would.
// The rest has a turn of the caller's, which gives way to others, so that who sends the
// largest bodies keeps nobody from a processor. One goroutine may use it.
type work struct {
	ctx    context.Context
	runs   *schedule.Scheduler
	caller string
	bytes  int  // so far
	ran    bool // the request has had its run
	turn   *schedule.Work
}

const (
	// freeWork is so many bytes of text, which take less than a millisecond.
	freeWork = 64 << 10
	// between is how many elements of a tensor are read or written between two looks at
	// whose turn it is, and elementText how much text one is taken for.
	between     = 256
	elementText = 8
)

func (s *Server) work(ctx context.Context, caller string) *work {
	return &work{ctx: ctx, runs: s.runs, caller: caller}
}

// on says that so many bytes of text are to be read or written next. It may wait until
// that may begin.
func (w *work) on(bytes int) (err error) {
	if w.bytes += bytes; w.bytes <= freeWork {
		return nil
	}
	switch {
	case w.turn != nil:
		err = w.turn.Pause()
	case w.ran:
		w.turn, err = w.runs.Rest(w.ctx, w.caller)
	default:
		w.turn, err = w.runs.Work(w.ctx, w.caller)
	}
	if err != nil {
		return notRun(err)
	}
	return nil
}

// pause is on between two pieces of what was counted before.
func (w *work) pause() error { return w.on(0) }

// element is on for an element of a tensor and those behind it.
func (w *work) element(i int) error {
	if i%between > 0 {
		return nil
	}
	return w.on(between * elementText)
}

// answers says that the request has had its run, which is not for nothing: the rest of the
// work is not refused.
func (w *work) answers() { w.ran = true }

// end gives the turn back, before the request waits for its run or is answered.
func (w *work) end() {
	if w.turn != nil {
		w.turn.Release()
	}
	w.turn, w.bytes = nil, 0
}
