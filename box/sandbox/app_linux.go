package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// How long to wait before the app is started again: first, at most, and after
// which time of running the first applies again.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
	stable       = time.Minute
)

// App is one app and its container, if it runs.
type App struct {
	cfg    Config
	listen address
	notes  []string
	room   *room
	lock   *os.File               // of the folder
	now    atomic.Pointer[keeper] // the one that accepts connections
	stop   context.CancelFunc
	done   chan struct{}
	// restarts gets where to tell that the app was started anew.
	restarts chan chan error
	once     sync.Once
}

// New checks the configuration. Nothing is started.
func New(cfg Config) (*App, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, done: make(chan struct{}), restarts: make(chan chan error)}
	a.listen, _ = cfg.listen()
	_, notes, err := cfg.configuration(bundle{has: cfg.controllers()})
	a.notes = notes
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Notes says in words what of the policy this machine does not enforce, and
// what was decided where policy and image are silent. The box prints it.
func (a *App) Notes() []string { return a.notes }

// Unenforced is those of Notes that say what of the policy is not enforced.
func (a *App) Unenforced() []string {
	var out []string
	for _, note := range a.notes {
		if strings.HasPrefix(note, notEnforced) {
			out = append(out, strings.TrimPrefix(note, notEnforced))
		}
	}
	return out
}

// Accepting reports whether the app runs and accepted a connection since it
// was started.
func (a *App) Accepting() bool { return a.now.Load() != nil }

// Start starts the app and returns when it accepts connections. If it does not
// within StartGrace, ends before, or ctx ends, it is ended and the error says
// which. It can be called once.
func (a *App) Start(ctx context.Context) error {
	lock, err := claim(a.cfg.Dir)
	if err != nil {
		return err
	}
	if err := a.start(ctx); err != nil {
		lock.Close()
		return err
	}
	a.lock = lock
	return nil
}

// start does it in a folder that is ours.
func (a *App) start(ctx context.Context) error {
	if err := a.clear(); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	dir, err := a.cfg.workDir()
	if err == nil {
		err = a.cfg.makeFolder(dir)
	}
	if err != nil {
		return err
	}
	r, err := enter(a.cfg.NetNS, a.cfg.lowPorts())
	if err != nil {
		return err
	}
	a.room = r
	first, err := a.launch()
	if err == nil {
		if err = a.await(ctx, first); err != nil {
			first.end(0)
			err = errors.Join(err, a.tidy(first))
		}
	}
	if err != nil {
		r.close()
		return err
	}
	a.now.Store(first)
	var running context.Context
	running, a.stop = context.WithCancel(context.Background())
	go a.keep(running, first)
	return nil
}

// Stop ends the app: SIGTERM, and SIGKILL to all of its processes after
// StopGrace. It returns when they are gone.
func (a *App) Stop() {
	a.once.Do(func() {
		if a.stop != nil {
			a.stop()
			<-a.done
			a.room.close()
			a.lock.Close()
		}
	})
}

// Dial connects to where the app listens.
func (a *App) Dial(ctx context.Context) (net.Conn, error) {
	k := a.now.Load()
	if k == nil {
		return nil, errors.New("sandbox: the app accepts no connections now")
	}
	return a.dial(ctx, k)
}

func (a *App) dial(ctx context.Context, k *keeper) (net.Conn, error) {
	if a.listen.unix != "" {
		return dialUnix(ctx, k.folder(), path.Base(a.listen.unix))
	}
	if a.cfg.GVisor {
		return k.gVisor.dial(ctx, a.listen.tcp.Port())
	}
	return a.room.dial(ctx, a.listen.tcp)
}

// keep has the app running until ctx ends.
func (a *App) keep(ctx context.Context, k *keeper) {
	defer close(a.done)
	backoff := firstBackoff
	for {
		started := time.Now()
		asked, running := a.watch(ctx, k)
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
		k = a.again(ctx)
		if asked != nil {
			asked <- restarted(k)
		}
	}
}

// restarted is what whoever asked for it is told.
func restarted(k *keeper) error {
	if k == nil {
		return errors.New("sandbox: the app does not start; it is tried again")
	}
	return nil
}

// watch returns true when the app ended by itself, or was ended for somebody who
// asked for it anew, and false when ctx ended. An app that is not there has ended.
func (a *App) watch(ctx context.Context, k *keeper) (asked chan error, running bool) {
	if k == nil {
		return nil, true
	}
	select {
	case <-ctx.Done():
		a.now.Store(nil)
		k.end(a.cfg.StopGrace)
		a.tidy(k)
		return nil, false
	case asked := <-a.restarts:
		a.now.Store(nil)
		k.end(a.cfg.StopGrace)
		a.tidy(k)
		return asked, true
	case <-k.gone:
		a.now.Store(nil)
		a.exited(k.how())
		a.tidy(k)
		return nil, true
	}
}

// again starts the app anew and waits until it accepts connections. It returns
// nil if that cannot be done now.
func (a *App) again(ctx context.Context) *keeper {
	k, err := a.launch()
	if err != nil {
		a.exited("could not be started again")
		return nil
	}
	if err := a.await(ctx, k); err != nil {
		k.end(0)
		a.tidy(k)
		if ctx.Err() == nil {
			a.exited(err.Error())
		}
		return nil
	}
	a.now.Store(k)
	return k
}

func (a *App) exited(how string) {
	if a.cfg.Exited != nil {
		a.cfg.Exited(how)
	}
}

// await returns when the app accepts a connection.
func (a *App) await(ctx context.Context, k *keeper) error {
	limit := time.NewTimer(a.cfg.StartGrace)
	defer limit.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if a.answers(ctx, k) {
			return nil
		}
		select {
		case <-k.gone:
			return fmt.Errorf("sandbox: the app ended before it listened at %s: %s", a.cfg.Listen, k.how())
		case <-limit.C:
			return fmt.Errorf("sandbox: the app does not listen at %s after %s", a.cfg.Listen, a.cfg.StartGrace)
		case <-ctx.Done():
			return fmt.Errorf("sandbox: stopped while the app was starting: %w", ctx.Err())
		case <-poll.C:
		}
	}
}

func (a *App) answers(ctx context.Context, k *keeper) bool {
	if a.listen == (address{}) {
		return k.runs()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := a.dial(ctx, k)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// launch writes the configuration and starts the runtime below a keeper.
func (a *App) launch() (*keeper, error) {
	if a.cfg.Rewire != nil {
		if err := a.cfg.Rewire(); err != nil {
			return nil, fmt.Errorf("sandbox: the app's network: %w", err)
		}
	}
	run, err := os.MkdirTemp(a.cfg.Dir, runPrefix)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	k, err := a.launchIn(run)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(run))
	}
	return k, nil
}

const (
	runPrefix    = "run-"
	cgroupPrefix = "blindbox-"
)

func (a *App) launchIn(run string) (*keeper, error) {
	id := cgroupPrefix + strings.ToLower(rand.Text())
	spec, _, err := a.cfg.configuration(bundle{
		netns: filepath.Join(run, netnsName), socket: filepath.Join(run, socketName), resolv: filepath.Join(run, resolvName), hosts: filepath.Join(run, hostsName), cgroup: a.cfg.cgroup(id), has: a.cfg.controllers(),
	})
	if err != nil {
		return nil, err
	}
	doc, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	err = errors.Join(
		os.Chmod(run, 0o711), // root inside must get through to the socket's folder
		os.WriteFile(filepath.Join(run, "config.json"), doc, 0o600),
		os.WriteFile(filepath.Join(run, "id"), []byte(id), 0o600),
		os.WriteFile(filepath.Join(run, netnsName), nil, 0o600),
		readable(filepath.Join(run, resolvName), a.cfg.ResolvConf),
		readable(filepath.Join(run, hostsName), a.cfg.Hosts),
		os.Mkdir(filepath.Join(run, socketName), 0o700),
		os.Mkdir(filepath.Join(run, stateName), 0o700),
	)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	owner := ""
	if a.listen.unix != "" {
		owner = a.cfg.socketOwner(spec.Process.User.UID, spec.Process.User.GID)
	}
	out, err := a.output()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	k, err := startKeeper(run, owner, a.room, out, a.cfg.runtime(run, id))
	if err == nil && a.cfg.GVisor {
		k.gVisor = &gVisor{run, id}
	}
	return k, err
}

// cgroup is where the app's is, "" where there can be none.
func (c *Config) cgroup(id string) string {
	if c.OneUser {
		return ""
	}
	return "/" + id
}

// socketOwner is whose the folder of the socket is, as options of tmpfs(5).
func (c *Config) socketOwner(uid, gid uint32) string {
	if c.OneUser {
		return "uid=0,gid=0"
	}
	return fmt.Sprintf("uid=%d,gid=%d", c.Shift+uid, c.Shift+gid)
}

// runtime is the command that runs what is described in a folder.
func (c *Config) runtime(run, id string) []string {
	command := []string{c.Runtime, "--root", filepath.Join(run, stateName), "--log", filepath.Join(run, logName), "--log-format", "text"}
	if c.GVisor {
		command = append(command, gVisorFlags()...)
	}
	return append(command, "run", "--bundle", run, id)
}

// readable writes a file that everybody can read, whatever our umask is.
func readable(name, text string) error {
	return errors.Join(os.WriteFile(name, []byte(text), 0o600), os.Chmod(name, 0o644))
}

// output is where the app prints to: nowhere, or through a pipe that ends when
// the last of its processes does.
func (a *App) output() (*os.File, error) {
	if a.cfg.Output == nil {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		return f, nil
	}
	from, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	go func() {
		defer from.Close()
		io.Copy(a.cfg.Output, from)
		// Somebody must go on reading, or the app would stand still.
		io.Copy(io.Discard, from)
	}()
	return to, nil
}

// end asks the app to end and makes it, and all that it started, after a time.
func (k *keeper) end(grace time.Duration) {
	// Who cannot be asked is not waited for.
	if grace > 0 && k.terminate() == nil {
		select {
		case <-k.gone:
			return
		case <-time.After(grace):
		}
	}
	k.p.Kill() // the namespace ends with it
	<-k.gone
}

// tidy removes what is left of a run.
func (a *App) tidy(k *keeper) error { return removeRun(k.run) }

// claim makes the folder ours until the file is closed, or the box ends.
func claim(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("sandbox: %s is another app's that runs: %w", dir, err)
	}
	return f, nil
}

func (a *App) clear() error { return Clear(a.cfg.Dir) }

// Clear removes from a folder that was a [Config]'s what a box left there that was
// killed. Nobody may run anything in it.
func Clear(dir string) error {
	runs, err := filepath.Glob(filepath.Join(dir, runPrefix+"*"))
	for _, run := range runs {
		err = errors.Join(err, removeRun(run))
	}
	return err
}

func removeRun(run string) error {
	id, err := os.ReadFile(filepath.Join(run, "id"))
	if err == nil && strings.HasPrefix(string(id), cgroupPrefix) && !strings.ContainsAny(string(id), "/*?[") {
		err = removeCgroup(string(id))
	}
	return errors.Join(err, os.RemoveAll(run))
}
