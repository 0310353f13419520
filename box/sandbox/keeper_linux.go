package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// keeperName is the name under which the program is started a second time.
const keeperName = "blindbox-keeper"

// Descriptors that a keeper inherits.
const (
	keeperNetNS = 3 // the app's network namespace
	keeperAlive = 4 // ends when the box ends
)

// Names in the folder of a run.
const (
	netnsName  = "netns"
	socketName = "socket"
	resolvName = "resolv.conf"
	hostsName  = "hosts"
	logName    = "log"
	stateName  = "state" // what the runtime keeps
)

// Keep turns the process into a keeper if args, those of the program, say so.
// A program that starts apps calls it first of all; where it returns, the
// program is not a keeper.
//
// A keeper is the first process of a process namespace, and ends with the box
// (prctl(2), PR_SET_PDEATHSIG). When it ends, the kernel ends all others of its
// namespace (pid_namespaces(7)): the runtime, the app, and what the app
// started. It gives the runtime a view of /proc that fits the namespace, and
// becomes the runtime.
func Keep(args []string) {
	if len(args) < 4 || args[0] != keeperName {
		return
	}
	run, owner := args[1], args[2]
	err := keep(run, owner, args[3:])
	os.WriteFile(filepath.Join(run, logName), []byte(err.Error()), 0o600)
	os.Exit(1)
}

// keep returns only if it failed.
func keep(run, owner string, command []string) error {
	runtime.LockOSThread()
	if err := endWithBox(); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeper: private mounts: %w", err)
	}
	const kernelOnly = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "/proc", "proc", kernelOnly, ""); err != nil {
		return fmt.Errorf("keeper: /proc: %w", err)
	}
	netns := filepath.Join(run, netnsName)
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(keeperNetNS), netns, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("keeper: network namespace: %w", err)
	}
	if owner != "" {
		options := "size=1m,nr_inodes=64,mode=700," + owner
		if err := unix.Mount("tmpfs", filepath.Join(run, socketName), "tmpfs", kernelOnly, options); err != nil {
			return fmt.Errorf("keeper: folder of the socket: %w", err)
		}
	}
	// gVisor has processes that it sets no score for, so all begin with it.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(oomScore)), 0); err != nil {
		return fmt.Errorf("keeper: %w", err)
	}
	if err := unix.CloseRange(keeperNetNS, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("keeper: inherited files: %w", err)
	}
	return fmt.Errorf("keeper: %s: %w", command[0], unix.Exec(command[0], command, []string{"PATH=" + defaultPath}))
}

// endWithBox has the kernel end the process when the box ends. It was told that
// before this program was started, of its first thread. We may be on another one by
// now, and the thread that becomes the runtime is the only one that is left then
// (execve(2)), and starts with nothing set (prctl(2), PR_SET_PDEATHSIG).
func endWithBox() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("keeper: end with the box: %w", err)
	}
	return orphaned()
}

// orphaned reports a box that ended before the kernel was told to end us with it.
func orphaned() error {
	p := []unix.PollFd{{Fd: keeperAlive, Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	if err != nil {
		return fmt.Errorf("keeper: %w", err)
	}
	if n != 0 {
		return errors.New("keeper: the box is gone")
	}
	return nil
}

// keeper is a keeper that was started.
type keeper struct {
	run   string // its folder
	p     *os.Process
	gone  chan struct{} // closed when all of its processes are gone
	state *os.ProcessState
	// gVisor is what the runtime is, or nil.
	gVisor *gVisor
}

// startKeeper starts one over a folder. owner is "" or the owner of the folder
// for a socket, as options of tmpfs(5).
func startKeeper(run, owner string, r *room, output *os.File, command []string) (*keeper, error) {
	k := &keeper{run: run, gone: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(k.gone)
		// The signal comes when the thread ends that made the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		alive, box, err := os.Pipe()
		if err != nil {
			started <- err
			return
		}
		defer box.Close()
		nothing, err := os.Open(os.DevNull)
		if err != nil {
			alive.Close()
			started <- err
			return
		}
		defer nothing.Close()
		p, err := os.StartProcess("/proc/self/exe", append([]string{keeperName, run, owner}, command...), &os.ProcAttr{
			Dir: "/", Env: []string{}, Files: []*os.File{nothing, output, output, r.ns, alive},
			Sys: &syscall.SysProcAttr{
				Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
				Setsid: true, // no terminal, and signals of one reach the box alone
			},
		})
		alive.Close()
		k.p = p
		started <- err
		if err == nil {
			k.state, _ = p.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("sandbox: cannot start a keeper: %w", err)
	}
	return k, nil
}

// terminate asks the app to end. runc hands the signal on to it.
func (k *keeper) terminate() error {
	if k.gVisor != nil {
		return k.gVisor.terminate()
	}
	return k.p.Signal(syscall.SIGTERM)
}

// folder is the path of the socket's folder, which the keeper alone sees mounted.
func (k *keeper) folder() string {
	return filepath.Join("/proc", strconv.Itoa(k.p.Pid), "root", k.run, socketName)
}

// how says how the app ended, after gone is closed. What the runtime says about
// its own troubles holds nothing that the app was sent.
func (k *keeper) how() string {
	how := "unknown"
	if k.state != nil {
		how = k.state.String()
	}
	const most = 2000
	log, err := os.ReadFile(filepath.Join(k.run, logName))
	if text := strings.TrimSpace(string(log[:min(len(log), most)])); err == nil && text != "" {
		how += ": " + said(text)
	}
	return how
}

// said takes the words out of errors that gVisor writes for other programs.
func said(text string) string {
	var words []string
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var line struct {
			Msg string `json:"msg"`
		}
		if d.Decode(&line) != nil || line.Msg == "" {
			break
		}
		words = append(words, line.Msg)
	}
	if len(words) == 0 {
		return text
	}
	return strings.Join(words, "; ")
}
