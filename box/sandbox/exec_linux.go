package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Command is a program that runs beside the app and that is no part of it: as the
// app's user, in its namespaces, with its system calls, capabilities and limits. It
// has what the app has, and nothing else.
type Command struct {
	// Input, Output and Errors are the box's ends. With a terminal Input and Output
	// are the same file and Errors is nil.
	Input          io.WriteCloser
	Output, Errors io.ReadCloser

	terminal *os.File // the box's end, nil for none
	p        *os.Process
	group    string // folder of its control group
	folder   string // what the runtime is told
	gone     chan struct{}
	state    *os.ProcessState
	once     sync.Once
}

// commandPrefix begins the names of what belongs to a command.
const commandPrefix = "op-"

// Exec starts a program of the app's files, with a terminal unless that is nil.
// Whoever starts it has to call [Command.Kill].
func (a *App) Exec(args []string, terminal *Terminal) (*Command, error) {
	k := a.now.Load()
	switch {
	case k == nil:
		return nil, errors.New("sandbox: the app does not run now")
	case a.cfg.GVisor:
		return nil, errors.New("sandbox: no commands in gVisor")
	case len(args) == 0 || args[0] == "":
		return nil, errors.New("sandbox: no command")
	}
	c := &Command{gone: make(chan struct{})}
	files, err := c.open(terminal)
	if err == nil {
		err = a.exec(k, c, files, args, terminal)
	}
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		c.close()
		c.tidy()
		return nil, err
	}
	return c, nil
}

func (a *App) exec(k *keeper, c *Command, files []*os.File, args []string, terminal *Terminal) error {
	id, err := os.ReadFile(filepath.Join(k.run, "id"))
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	name := commandPrefix + strings.ToLower(rand.Text())
	var group string
	if c.group, group, err = newCommandGroup(string(id), name); err != nil {
		return err
	}
	process, _, err := a.cfg.process()
	if err != nil {
		return err
	}
	process.Args = args
	if terminal != nil {
		process.Terminal, process.Env = true, append(process.Env, "TERM="+terminal.Kind)
		process.ConsoleSize = &specs.Box{Height: uint(terminal.Rows), Width: uint(terminal.Columns)}
	}
	c.folder = filepath.Join(k.run, name)
	if err := c.write(k.run, string(id), process); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return k.start(c, a.room.ns, files, []string{
		// What goes wrong is for the one who asked. The keeper's log is the box's.
		a.cfg.Runtime, "--root", c.folder, "--log", os.DevNull,
		"exec", "--cgroup", group, "--process", filepath.Join(c.folder, processName), string(id),
	})
}

const processName = "process.json"

// write writes what the runtime has to know: the command, and the app's container.
func (c *Command) write(run, id string, process *specs.Process) error {
	doc, err := json.Marshal(process)
	if err != nil {
		return err
	}
	state, err := os.ReadFile(filepath.Join(run, stateName, id, "state.json"))
	if err != nil {
		return err
	}
	if state, err = withoutNetwork(state); err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(filepath.Join(c.folder, id), 0o700),
		os.WriteFile(filepath.Join(c.folder, processName), doc, 0o600),
		os.WriteFile(filepath.Join(c.folder, id, "state.json"), state, 0o600),
	)
}

// withoutNetwork takes the network namespace out of what runc knows of a container,
// and leaves the rest as it is. runc before 1.2 enters the user namespace first and
// the network next, which it may not do from there: the network is the box's. So it
// is started in that network and does not look for it.
func withoutNetwork(state []byte) ([]byte, error) {
	const network = "NEWNET"
	var doc, config map[string]json.RawMessage
	var paths map[string]json.RawMessage
	var namespaces []map[string]json.RawMessage
	err := errors.Join(json.Unmarshal(state, &doc), json.Unmarshal(doc["config"], &config))
	if err == nil {
		err = errors.Join(json.Unmarshal(doc["namespace_paths"], &paths), json.Unmarshal(config["namespaces"], &namespaces))
	}
	if err != nil {
		return nil, fmt.Errorf("what the runtime knows of the app cannot be read: %w", err)
	}
	before := len(namespaces)
	namespaces = slices.DeleteFunc(namespaces, func(ns map[string]json.RawMessage) bool { return string(ns["type"]) == `"`+network+`"` })
	if len(namespaces) != before-1 || paths[network] == nil {
		return nil, errors.New("what the runtime knows of the app has not one network")
	}
	delete(paths, network)
	for _, part := range []struct {
		in    map[string]json.RawMessage
		name  string
		value any
	}{{config, "namespaces", namespaces}, {doc, "config", config}, {doc, "namespace_paths", paths}} {
		text, err := json.Marshal(part.value)
		if err != nil {
			return nil, err
		}
		part.in[part.name] = text
	}
	return json.Marshal(doc)
}

// open makes the files between the box and the command and returns the command's.
func (c *Command) open(terminal *Terminal) ([]*os.File, error) {
	if terminal != nil {
		ours, theirs, err := newTerminal()
		if err != nil {
			return nil, err
		}
		c.terminal, c.Input, c.Output = ours, ours, ours
		return []*os.File{theirs, theirs, theirs}, c.Resize(terminal.Rows, terminal.Columns)
	}
	in, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	c.Input = input
	output, out, err := os.Pipe()
	if err != nil {
		return []*os.File{in}, fmt.Errorf("sandbox: %w", err)
	}
	c.Output = output
	problems, bad, err := os.Pipe()
	if err != nil {
		return []*os.File{in, out}, fmt.Errorf("sandbox: %w", err)
	}
	c.Errors = problems
	return []*os.File{in, out, bad}, nil
}

// newTerminal makes a pseudoterminal (pty(7)) without looking for its other end by
// name: ioctl_tty(2), TIOCGPTPEER.
func newTerminal() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("sandbox: no terminal to be had: %w", err)
	}
	raw, err := ours.SyscallConn()
	if err == nil {
		var inner error
		err = raw.Control(func(fd uintptr) {
			if inner = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); inner != nil {
				return
			}
			peer, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
			if errno != 0 {
				inner = errno
				return
			}
			theirs = os.NewFile(peer, "terminal")
			inner = makeRaw(int(peer))
		})
		err = errors.Join(err, inner)
	}
	if err != nil {
		ours.Close()
		if theirs != nil {
			theirs.Close()
		}
		return nil, nil, fmt.Errorf("sandbox: no terminal to be had: %w", err)
	}
	return ours, theirs, nil
}

// makeRaw has a terminal change nothing that passes (termios(3), cfmakeraw). It is
// the box's; the command has one of its own behind it, which does.
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// Resize tells the command how large its terminal is.
func (c *Command) Resize(rows, columns uint16) error {
	if c.terminal == nil {
		return nil
	}
	raw, err := c.terminal.SyscallConn()
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	return errors.Join(err, inner)
}

// start starts the runtime in the keeper's namespaces, where the app's processes
// have the numbers that the runtime knows. It is the kernel's to end it when the box
// ends, and when the app does.
func (k *keeper) start(c *Command, network *os.File, files []*os.File, command []string) error {
	started := make(chan error)
	go elsewhere(func() {
		defer close(c.gone)
		err := k.enter(network)
		if err == nil {
			c.p, err = os.StartProcess(command[0], command, &os.ProcAttr{
				Dir: "/", Env: []string{"PATH=" + defaultPath}, Files: files,
				Sys: &syscall.SysProcAttr{Setsid: true, Setctty: c.terminal != nil},
			})
		}
		started <- err
		if err == nil {
			c.state, _ = c.p.Wait()
		}
	})
	if err := <-started; err != nil {
		return fmt.Errorf("sandbox: cannot start the command: %w", err)
	}
	return nil
}

// elsewhere calls f on a thread that is never used again, and that is not the first
// one: that one would not end.
func elsewhere(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return // the thread ends
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		elsewhere(f)
	}()
	<-done
}

// enter takes the thread to where the keeper is, and to the app's network. What it
// starts has the keeper's view of files, and is among its processes.
func (k *keeper) enter(network *os.File) error {
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("the app's network: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	var inner error
	// By its handle: its number could be another's by now.
	err := k.p.WithHandle(func(handle uintptr) {
		inner = unix.Setns(int(handle), unix.CLONE_NEWPID|unix.CLONE_NEWNS)
	})
	if err := errors.Join(err, inner); err != nil {
		return fmt.Errorf("the app's namespaces: %w", err)
	}
	return nil
}

// Gone is closed when the command has ended.
func (c *Command) Gone() <-chan struct{} { return c.gone }

// Code is the command's exit status after Gone is closed, 128 and the number of the
// signal if one ended it.
func (c *Command) Code() int {
	select {
	case <-c.gone:
	default:
		return -1
	}
	status, ok := syscall.WaitStatus(0), false
	if c.state != nil {
		status, ok = c.state.Sys().(syscall.WaitStatus)
	}
	switch {
	case !ok:
		return 255
	case status.Signaled():
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// Kill ends the command and everything that it started, also what it left behind,
// and removes what it took of the machine. It may be called again.
func (c *Command) Kill() {
	c.once.Do(func() {
		c.close()
		endGroup(c.group)
		c.p.Signal(syscall.SIGKILL)
		<-c.gone
		endGroup(c.group)
		c.tidy()
	})
}

func (c *Command) close() {
	for _, f := range []io.Closer{c.Input, c.Output, c.Errors} {
		if f != nil {
			f.Close()
		}
	}
}

func (c *Command) tidy() {
	if c.folder != "" {
		os.RemoveAll(c.folder)
	}
	if c.group != "" {
		os.Remove(c.group)
	}
}

// newCommandGroup makes a control group below the app's, in which the app's limits
// hold. It is there to find what a command started. With version 1 one hierarchy is
// enough: the others have the command beside the app.
func newCommandGroup(id, name string) (folder, flag string, err error) {
	if fsType(cgroupRoot) == unix.CGROUP2_SUPER_MAGIC {
		folder, flag = filepath.Join(cgroupRoot, id, name), name
		if err := os.Mkdir(folder, 0o755); err != nil {
			return "", "", fmt.Errorf("sandbox: the command's control group: %w", err)
		}
		return folder, flag, nil
	}
	for _, controller := range []string{"pids", "freezer", "memory", "devices", "cpu"} {
		folder = filepath.Join(cgroupRoot, controller, id, name)
		if e := os.Mkdir(folder, 0o755); e == nil {
			return folder, controller + ":" + name, nil
		} else {
			err = errors.Join(err, e)
		}
	}
	return "", "", fmt.Errorf("sandbox: the command's control group: %w", err)
}

// endGroup kills what is in a control group until nothing is.
func endGroup(folder string) {
	const patience = 5 * time.Second
	for began := time.Now(); time.Since(began) < patience; {
		pids, err := members(folder)
		if err != nil || len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			// What has this number now is in the group, or was a moment ago.
			unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// members are the processes in a control group.
func members(folder string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, line := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(line)
		if err != nil || pid <= 0 {
			continue // 0 is somebody who cannot be seen from here
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Processes are the numbers, as the box sees them, of the app's processes and of the
// commands beside it.
func (a *App) Processes() ([]int, error) {
	k := a.now.Load()
	if k == nil {
		return nil, errors.New("sandbox: the app does not run now")
	}
	id, err := os.ReadFile(filepath.Join(k.run, "id"))
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	folder, err := appGroup(string(id))
	if err != nil {
		return nil, err
	}
	pids, err := members(folder)
	if err != nil {
		return nil, fmt.Errorf("sandbox: the app's processes: %w", err)
	}
	below, err := filepath.Glob(filepath.Join(folder, commandPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	for _, one := range below {
		more, _ := members(one) // it may be gone by now
		pids = append(pids, more...)
	}
	return pids, nil
}

func appGroup(id string) (string, error) {
	for _, folder := range []string{filepath.Join(cgroupRoot, id), filepath.Join(cgroupRoot, "pids", id), filepath.Join(cgroupRoot, "freezer", id), filepath.Join(cgroupRoot, "memory", id)} {
		if _, err := os.Stat(filepath.Join(folder, "cgroup.procs")); err == nil {
			return folder, nil
		}
	}
	return "", errors.New("sandbox: the app has no control group")
}

// Restart ends the app as Stop does and starts it again. It returns when it accepts
// connections, or with why it does not.
func (a *App) Restart(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case a.restarts <- done:
	case <-a.done:
		return errors.New("sandbox: the app was stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-a.done:
		return errors.New("sandbox: the app was stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}
