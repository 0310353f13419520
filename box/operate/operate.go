// Package operate is what an operator of a running box can do where the policy has
// a line for it: start the app anew, run a command beside it, open a shell beside
// it, read what it prints. It answers one question: what does somebody get who has
// that line's leave, and when does it end?
//
// A command has what the app has and nothing else, see package sandbox. It lives as
// long as the operator's connection: when that is cut, when its time is over, when
// it said too much, or when the box stops, the command is ended with everything that
// it started. What passes goes to the operator alone; nothing of it is kept or
// logged. Who an operator is and may do what is decided before, by package ingress.
//
// The package stands inside the box, behind the attested channel. What an operator
// sends is as hostile as what any caller sends.
package operate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Config is what there is to operate.
type Config struct {
	// Restart ends the app and returns when it accepts connections again.
	Restart func(context.Context) error
	// Processes are the numbers of the app's processes.
	Processes func() ([]int, error)
	// Exec runs a command beside the app; nil where there are none.
	Exec func(args []string, t *Terminal) (*Running, error)
	// Tap has what the app prints; nil where nobody may read it.
	Tap *Tap
	// Limits bound each session; the zero Limits are DefaultLimits.
	Limits Limits
}

// Terminal is what a command has that is for a person.
type Terminal struct {
	Kind          string
	Rows, Columns uint16
}

// Running is a command that was started.
type Running struct {
	Input          io.WriteCloser
	Output, Errors io.Reader // Errors is nil with a terminal
	Resize         func(rows, columns uint16) error
	Gone           <-chan struct{}
	// Code is the exit code once Gone is closed.
	Code func() int
	// Kill ends it, and all that it started, and returns when that is done.
	Kill func()
}

// Limits bounds sessions.
type Limits struct {
	Sessions int           // at once
	Time     time.Duration // of one
	Bytes    int64         // that one passes on, each way
	Silence  time.Duration // without a sign of the operator
}

// DefaultLimits are those of a box.
func DefaultLimits() Limits {
	return Limits{Sessions: 4, Time: time.Hour, Bytes: 1 << 30, Silence: time.Minute}
}

// Service serves operators.
type Service struct {
	cfg   Config
	slots chan struct{}
	ctx   context.Context
	stop  context.CancelFunc
	// sessions are those that run.
	sessions sync.WaitGroup
	mu       sync.Mutex // of stopping: no session begins behind it
	stopped  bool

	restarting sync.Mutex
	restarts   atomic.Uint64 // odd while the app is started anew
}

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	s := &Service{cfg: cfg, slots: make(chan struct{}, cfg.Limits.Sessions)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Restarts tells whether the app was started anew: another number than before says
// that it was, an odd one that it is just now.
func (s *Service) Restarts() uint64 { return s.restarts.Load() }

// Stop ends every session and returns when all are gone.
func (s *Service) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.stop()
	s.sessions.Wait()
}

// Refusal is why an operator does not get what it may have.
type Refusal struct {
	// Status is 400, 429, 502 or 503.
	Status      int
	Detail, Fix string
}

const tryAgain = "Try again in a moment."

// Session is one operation that was admitted.
type Session struct {
	s  *Service
	op policy.Operation
}

// Admit looks whether a request is one for an operation and whether there is room.
// Whoever gets a Session has to call End.
func (s *Service) Admit(op policy.Operation, r *http.Request) (*Session, *Refusal) {
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), Protocol)
	switch {
	case r.Method != http.MethodPost:
		return nil, &Refusal{http.StatusBadRequest, "Operators send POST.", "Use blindbox operate."}
	case (op != policy.OpRestart) != upgrade || upgrade && r.ProtoMajor != 1:
		return nil, &Refusal{http.StatusBadRequest, "An operator's stream is an upgrade of HTTP/1.1 to " + Protocol + ", and to restart the app needs none.", "Use blindbox operate."}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, &Refusal{http.StatusServiceUnavailable, "The box is stopping.", tryAgain}
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return nil, &Refusal{http.StatusTooManyRequests, fmt.Sprintf("Operators have %d sessions already.", cap(s.slots)), "End one of them, or wait."}
	}
	if op == policy.OpRestart && !s.restarting.TryLock() {
		<-s.slots
		return nil, &Refusal{http.StatusServiceUnavailable, "The app is being started anew already.", tryAgain}
	}
	s.sessions.Add(1)
	return &Session{s, op}, nil
}

// End gives the room back.
func (x *Session) End() {
	if x.op == policy.OpRestart {
		x.s.restarting.Unlock()
	}
	<-x.s.slots
	x.s.sessions.Done()
}

// Run does it, and returns when it is over. A Refusal says that nothing was
// answered.
func (x *Session) Run(w http.ResponseWriter, r *http.Request) *Refusal {
	ctx, cancel := context.WithTimeout(r.Context(), x.s.cfg.Limits.Time)
	defer cancel()
	defer context.AfterFunc(x.s.ctx, cancel)()
	if x.op == policy.OpRestart {
		return x.s.restart(ctx, w)
	}
	return x.stream(ctx, w)
}

// restart starts the app anew. Whoever asked may be gone by the time that it is
// there; it is done all the same, and not left half done.
func (s *Service) restart(ctx context.Context, w http.ResponseWriter) *Refusal {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Limits.Time)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	s.restarts.Add(1)
	err := s.cfg.Restart(ctx)
	s.restarts.Add(1)
	switch {
	case s.ctx.Err() != nil:
		return &Refusal{http.StatusServiceUnavailable, "The box is stopping.", tryAgain}
	case err != nil:
		return &Refusal{http.StatusBadGateway, "The app was ended and does not start. It is tried again and again.", "Look at what it prints, if the policy lets you, or publish another image."}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, `{"restarted":true}`+"\n")
	return nil
}
