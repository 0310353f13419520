package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/blindbox/blindbox/box/peers/wire"
)

// Verifier is the program that judges evidence, and how it is run.
type Verifier struct {
	// Program is its path.
	Program string
	// Apart runs it as an account and in a network of its own, which takes root.
	Apart bool
	// Now is a clock that never goes back, time.Now if nil.
	Now func() time.Time
	// Log is told when a process cannot be started or dies over a question; nil
	// means that nobody is. It holds nothing of what a caller sent.
	Log func(string)
	// Limit is how long one question may take, [DefaultLimit] if zero.
	Limit time.Duration

	name string // what the program is told that it is called
}

// Limits of the processes.
const (
	// DefaultLimit leaves time in the gate, which has 10 seconds, for the rest.
	DefaultLimit = 4 * time.Second
	// maxProcesses bounds how many judge at a time: what they cost is taken from
	// the callers that are known already.
	maxProcesses = 4
	// A program that cannot be started is tried again after a while, which doubles
	// from the first to the last.
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	// silence is how long the operator is not told again.
	silence = time.Minute
)

// pool starts processes: one for each question, one question for each process. So
// what a caller may have done to the one that read its evidence ends with it.
//
// One that dies over a question, or takes too long, says something about the caller
// alone, and the next caller gets the next process at once: a pause would let one
// stranger keep away all others. One that never gets ready says something about
// the program, and there is a pause before it is tried again.
type pool struct {
	cfg   Verifier
	turns chan struct{}

	mu       sync.Mutex
	spare    *worker // ready, for the next caller
	starting bool    // a spare one is on its way
	closed   bool
	pause    time.Duration
	notUntil time.Time
	silent   time.Time // nothing is said of questions before
}

func newPool(cfg Verifier) *pool {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.name == "" {
		cfg.name = "boxverify"
	}
	return &pool{cfg: cfg, turns: make(chan struct{}, maxProcesses)}
}

var errClosed = errors.New("peers: the box is stopping")

// ask has one question answered.
func (p *pool) ask(ctx context.Context, q wire.Question) (wire.Answer, error) {
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return wire.Answer{}, fmt.Errorf("peers: waiting for a turn: %w", context.Cause(ctx))
	}
	w, err := p.take()
	if err != nil {
		return wire.Answer{}, err
	}
	defer w.kill()
	go p.prepare()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Limit)
	defer cancel()
	a, err := w.ask(ctx, q)
	if err != nil {
		p.complain()
	}
	return a, err
}

// complain tells the operator that a process died over a question, and not how
// often: callers decide how often.
func (p *pool) complain() {
	p.mu.Lock()
	now := p.cfg.Now()
	tell := !now.Before(p.silent)
	if tell {
		p.silent = now.Add(silence)
	}
	p.mu.Unlock()
	if tell {
		p.cfg.Log("the verifier did not judge a caller's evidence, which is a refusal")
	}
}

// take returns a process that is ready.
func (p *pool) take() (*worker, error) {
	p.mu.Lock()
	w := p.spare
	p.spare = nil
	p.mu.Unlock()
	if w != nil && w.alive() {
		return w, nil
	}
	if w != nil {
		w.kill()
	}
	return p.start()
}

// start starts a process and waits until it is ready. The time for that is its own:
// a caller who comes to the gate's end with a moment left must not make the program
// look broken.
func (p *pool) start() (*worker, error) {
	if err := p.mayStart(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Limit)
	defer cancel()
	w, err := start(p.cfg)
	if err == nil {
		if err = w.ready(ctx); err != nil {
			w.kill()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.pause = min(max(2*p.pause, firstPause), lastPause)
		p.notUntil = p.cfg.Now().Add(p.pause)
		p.cfg.Log(fmt.Sprintf("the verifier does not start, and is tried again in %s: %v", p.pause, err))
		return nil, err
	}
	p.pause, p.notUntil = 0, time.Time{}
	return w, nil
}

func (p *pool) mayStart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return errClosed
	case p.cfg.Now().Before(p.notUntil):
		return errors.New("peers: the verifier did not start, and is not tried again yet")
	}
	return nil
}

// first makes the process for the first caller.
func (p *pool) first() error {
	w, err := p.start()
	if err != nil {
		return err
	}
	p.mu.Lock()
	w, p.spare = p.spare, w
	p.mu.Unlock()
	if w != nil {
		w.kill()
	}
	return nil
}

// prepare makes the process for the next caller, unless there is one.
func (p *pool) prepare() {
	p.mu.Lock()
	if p.spare != nil || p.starting || p.closed {
		p.mu.Unlock()
		return
	}
	p.starting = true
	p.mu.Unlock()
	w, err := p.start()
	p.mu.Lock()
	p.starting = false
	if err == nil && !p.closed {
		p.spare, w = w, nil
	}
	p.mu.Unlock()
	if w != nil {
		w.kill()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	w := p.spare
	p.spare, p.closed = nil, true
	p.mu.Unlock()
	if w != nil {
		w.kill()
	}
}

// worker is a process that answers one question.
type worker struct {
	process *os.Process
	in, out *os.File // ours: its input, its output
	gone    chan struct{}
	once    sync.Once
}

// start starts the program with two pipes and nothing else: no environment, no
// arguments, no other files.
func start(cfg Verifier) (*worker, error) {
	nothing, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("peers: %w", err)
	}
	defer nothing.Close()
	itsIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("peers: %w", err)
	}
	defer itsIn.Close()
	out, itsOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("peers: %w", err)
	}
	defer itsOut.Close()
	process, err := os.StartProcess(cfg.Program, []string{cfg.name}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{itsIn, itsOut, nothing}, Sys: apart(cfg.Apart),
	})
	if err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("peers: %w", err)
	}
	w := &worker{process: process, in: in, out: out, gone: make(chan struct{})}
	go func() {
		defer close(w.gone)
		process.Wait()
	}()
	return w, nil
}

// alive is false for a process that ended while it waited.
func (w *worker) alive() bool {
	select {
	case <-w.gone:
		return false
	default:
		return true
	}
}

func (w *worker) ready(ctx context.Context) error {
	defer w.bound(ctx)()
	return wire.ReadReady(w.out)
}

func (w *worker) ask(ctx context.Context, q wire.Question) (wire.Answer, error) {
	defer w.bound(ctx)()
	if err := wire.WriteQuestion(w.in, q); err != nil {
		return wire.Answer{}, err
	}
	a, err := wire.ReadAnswer(w.out, len(q.References))
	if err == nil && ctx.Err() != nil {
		return wire.Answer{}, fmt.Errorf("peers: the answer came too late: %w", context.Cause(ctx))
	}
	return a, err
}

// bound has reads and writes fail when ctx ends, until the function that it
// returns is called.
func (w *worker) bound(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() {
		w.in.SetDeadline(time.Unix(1, 0))
		w.out.SetDeadline(time.Unix(1, 0))
	})
	return func() { stop() }
}

// kill ends the process, whatever it is doing.
func (w *worker) kill() {
	w.once.Do(func() {
		w.process.Kill()
		w.in.Close()
		w.out.Close()
	})
}
