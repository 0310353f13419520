// Package process runs the app of a box: one program, started from nothing but
// what the policy says, started again when it dies, and ended with everything
// that it started.
//
// It answers one question: what does the app get from its surroundings? An
// environment of the policy's variables and PATH, an empty standard input, no
// terminal, no open files, a process group of its own, and in a real box an
// account that cannot open the evidence device. What it prints is discarded,
// because an app prints what it is asked.
//
// It stands inside the box. It does not confine the app any further: what the
// app may connect to or use up is not restricted here.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// Config says how to run an app. Both grace times are required.
type Config struct {
	// Output gets what the app prints; nil discards it.
	Output io.Writer
	// StartGrace is how long the app may take to accept its first connection,
	// StopGrace how long it may take to end after SIGTERM.
	StartGrace, StopGrace time.Duration
	// Account is what the app runs as; nil means as we do.
	Account *Account
	// Exited is told how the app ended, if it was not asked to.
	Exited func(how string)
}

// How long to wait before the app is started again: first, at most, and after
// which time of running the first applies again.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
	stable       = time.Minute
)

// App is one app and its process, if it runs.
type App struct {
	app       *policy.App
	cfg       Config
	accepting atomic.Bool
	group     atomic.Int64 // its process group, 0 if it does not run
	stop      context.CancelFunc
	done      chan struct{}
	restarts  chan chan error // gets where to tell that the app was started anew
	once      sync.Once
}

// New returns an App that was not started.
func New(app *policy.App, cfg Config) *App {
	return &App{app: app, cfg: cfg, done: make(chan struct{}), restarts: make(chan chan error)}
}

// Accepting reports whether the app runs and accepted a connection since it
// was started.
func (a *App) Accepting() bool { return a.accepting.Load() }

// Start starts the app and returns when it accepts connections. If it does not
// within StartGrace, ends before, or ctx ends, it is ended and the error says
// which.
func (a *App) Start(ctx context.Context) error {
	if err := a.cfg.Account.validate(); err != nil {
		return err
	}
	if a.answers() {
		return fmt.Errorf("process: something listens at %s already, before the app was started", a.app.Listen)
	}
	first, err := a.launch()
	if err != nil {
		return err
	}
	if err := a.await(ctx, first); err != nil {
		first.end(a.cfg.StopGrace)
		return err
	}
	a.accepting.Store(true)
	var running context.Context
	running, a.stop = context.WithCancel(context.Background())
	go a.keep(running, first)
	return nil
}

// Stop ends the app: SIGTERM to its process group, SIGKILL after StopGrace. It
// returns when the app is gone.
func (a *App) Stop() {
	a.once.Do(func() {
		if a.stop != nil {
			a.stop()
			<-a.done
		}
	})
}

// keep has the app running until ctx ends.
func (a *App) keep(ctx context.Context, p *running) {
	defer close(a.done)
	backoff := firstBackoff
	for {
		started := time.Now()
		asked, running := a.watch(ctx, p)
		if !running {
			return
		}
		if time.Since(started) > stable {
			backoff = firstBackoff
		}
		if asked == nil {
			select {
			case <-ctx.Done():
				return
			case asked = <-a.restarts:
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, maxBackoff)
		}
		p = a.again(ctx, asked)
	}
}

// watch returns true when the app ended by itself, or was ended for somebody who
// asked for it anew, and false when ctx ended. An app that is not there has ended.
func (a *App) watch(ctx context.Context, p *running) (asked chan error, running bool) {
	if p == nil {
		return nil, true
	}
	select {
	case <-ctx.Done():
		p.end(a.cfg.StopGrace)
		return nil, false
	case asked = <-a.restarts:
		a.accepting.Store(false)
		p.end(a.cfg.StopGrace)
		a.group.Store(0)
		return asked, true
	case <-p.gone:
	}
	a.group.Store(0)
	a.accepting.Store(false)
	a.exited(p.how())
	return nil, true
}

// again starts the app anew and tells whoever asked when it accepts connections. It
// returns nil if that cannot be done now.
func (a *App) again(ctx context.Context, asked chan error) *running {
	p, err := a.launch()
	if err != nil {
		a.exited("could not be started again")
		if asked != nil {
			asked <- err
		}
		return nil
	}
	go func() {
		err := a.await(ctx, p)
		if err == nil {
			a.accepting.Store(true)
		}
		if asked != nil {
			asked <- err
		}
	}()
	return p
}

// Restart ends the app as Stop does and starts it again. It returns when it accepts
// connections, or with why it does not.
func (a *App) Restart(ctx context.Context) error {
	asked := make(chan error, 1)
	stopped := errors.New("process: the app was stopped")
	select {
	case a.restarts <- asked:
	case <-a.done:
		return stopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-asked:
		return err
	case <-a.done:
		return stopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Processes are the numbers of the processes of the app's group.
func (a *App) Processes() ([]int, error) {
	group := int(a.group.Load())
	if group == 0 {
		return nil, errors.New("process: the app does not run now")
	}
	return groupMembers(group)
}

func (a *App) exited(how string) {
	if a.cfg.Exited != nil {
		a.cfg.Exited(how)
	}
}

// await returns when the app accepts a connection.
func (a *App) await(ctx context.Context, p *running) error {
	limit := time.NewTimer(a.cfg.StartGrace)
	defer limit.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if a.answers() {
			return a.hidden()
		}
		select {
		case <-p.gone:
			return fmt.Errorf("process: the app ended before it listened at %s: %s", a.app.Listen, p.how())
		case <-limit.C:
			return fmt.Errorf("process: the app does not listen at %s after %s", a.app.Listen, a.cfg.StartGrace)
		case <-ctx.Done():
			return fmt.Errorf("process: stopped while the app was starting: %w", ctx.Err())
		case <-poll.C:
		}
	}
}

// hidden refuses an app that strangers could reach without passing the gate.
func (a *App) hidden() error {
	network, address := a.app.Address()
	if network != "tcp" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("process: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("process: port %q: %w", port, err)
	}
	at, err := exposed(n)
	if at != "" {
		return fmt.Errorf("process: the app listens at %s, where it can be reached around the box; have it listen at %s only", at, address)
	}
	return err
}

func (a *App) answers() bool {
	network, address := a.app.Address()
	c, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// launch starts the process.
func (a *App) launch() (*running, error) {
	if err := a.clearSocket(); err != nil {
		return nil, err
	}
	env := a.environment()
	program, err := lookUp(a.app.Command[0], env)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: program, Args: a.app.Command, Env: env, Dir: a.app.Dir, WaitDelay: time.Second}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	if a.cfg.Output != nil {
		cmd.Stdout, cmd.Stderr = a.cfg.Output, a.cfg.Output
	}
	setGroup(cmd)
	setAccount(cmd, a.cfg.Account)
	p, err := start(cmd)
	if err == nil {
		a.group.Store(int64(cmd.Process.Pid))
	}
	return p, err
}

// clearSocket removes the socket that an app left behind when it died; the
// next one could not listen there. Nothing but a socket is removed.
func (a *App) clearSocket() error {
	network, address := a.app.Address()
	if network != "unix" {
		return nil
	}
	info, err := os.Lstat(address)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("process: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("process: %s is there and is no socket", address)
	}
	return os.Remove(address)
}

// environment is the whole environment of the app, sorted.
func (a *App) environment() []string {
	env := make([]string, 0, len(a.app.Env)+1)
	for k, v := range a.app.Env {
		env = append(env, k+"="+v)
	}
	if _, ok := a.app.Env["PATH"]; !ok {
		env = append(env, "PATH="+policy.DefaultPath)
	}
	slices.Sort(env)
	return env
}

// lookUp finds a program by the app's PATH, not by ours.
func lookUp(program string, env []string) (string, error) {
	if strings.ContainsRune(program, '/') || filepath.IsAbs(program) {
		return program, nil
	}
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") })
	path := strings.TrimPrefix(env[i], "PATH=")
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		for _, suffix := range suffixes() {
			file := filepath.Join(dir, program+suffix)
			if info, err := os.Stat(file); err == nil && runnable(info) {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("process: no program %q in the app's PATH %s", program, path)
}

// running is a process that was started.
type running struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended and was waited for
}

// start starts cmd and waits for it in the background.
func start(cmd *exec.Cmd) (*running, error) {
	p := &running{cmd: cmd, gone: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(p.gone)
		release := keepThread()
		defer release()
		err := errors.Join(forgoPrivileges(), sealFiles())
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err != nil {
			return
		}
		cmd.Wait()
		// What the app started and left behind goes with it.
		killGroup(cmd)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("process: cannot start the app: %w", err)
	}
	return p, nil
}

// end asks the process group to end and makes it after the grace time.
func (p *running) end(grace time.Duration) {
	select {
	case <-p.gone:
		return // its number may be another's by now
	default:
	}
	terminate(p.cmd)
	select {
	case <-p.gone:
		return
	case <-time.After(grace):
	}
	killGroup(p.cmd)
	<-p.gone
}

// how says how the process ended. It is called after gone is closed.
func (p *running) how() string {
	if p.cmd.ProcessState == nil {
		return "unknown"
	}
	return p.cmd.ProcessState.String()
}
