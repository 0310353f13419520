package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// gVisorFlags are those whose defaults are not what a box wants. The rest stays
// off: raw sockets, profiles, traces, flags by annotation.
func gVisorFlags() []string {
	return []string{
		"--platform=systrap",     // needs nothing of the machine but its system calls
		"--network=sandbox",      // a network stack of gVisor's own, on the links of the namespace
		"--directfs=false",       // the kernel opens no file itself: a process beside it does
		"--overlay2=none",        // what is read-only stays so, and nothing is kept beside the image
		"--oci-seccomp",          // the list of system calls holds in there too
		"--host-uds=create",      // the socket of [Config.Listen] is one that the box can dial
		"--host-settings=ignore", // the machine is as it is
	}
}

// gVisor is one run of it, spoken to by the socket that runsc itself uses.
type gVisor struct{ run, id string }

// dial connects to a port of the app's in gVisor's network, of which the machine's
// kernel knows nothing. gVisor is handed one end of a pair of sockets and told the
// port, as `runsc port-forward` does it.
func (g gVisor) dial(ctx context.Context, port uint16) (net.Conn, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	defer theirs.Close()
	err = g.call(ctx, "PortForward", map[string]any{"ContainerID": g.id, "Port": port}, unix.UnixRights(int(theirs.Fd())))
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("sandbox: port %d in gVisor: %w", port, err)
	}
	return ours, nil
}

// terminate asks the app to end. `runsc run` hands no signal on.
func (g gVisor) terminate() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return g.call(ctx, "Signal", map[string]any{"CID": g.id, "Signo": int(unix.SIGTERM)}, nil)
}

// call asks gVisor to do something. A call is one JSON object, with files beside its
// first byte, and so is the answer.
func (g gVisor) call(ctx context.Context, method string, arg map[string]any, files []byte) error {
	c, err := dialUnix(ctx, filepath.Join(g.run, stateName), "runsc-"+g.id+".sock")
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	call, err := json.Marshal(map[string]any{"method": "containerManager." + method, "arg": arg})
	if err != nil {
		return err
	}
	if _, _, err := c.(*net.UnixConn).WriteMsgUnix(call, files, nil); err != nil {
		return err
	}
	var answer struct {
		Success bool   `json:"success"`
		Err     string `json:"err"`
	}
	const most = 1 << 16
	if err := json.NewDecoder(io.LimitReader(c, most)).Decode(&answer); err != nil {
		return err
	}
	if !answer.Success {
		return errors.New(answer.Err)
	}
	return nil
}

// socketPair returns both ends of a connection.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fds[0]), "ours")
	defer f.Close() // net works with a copy
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	ours, err := net.FileConn(f)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// forGVisor changes a configuration where gVisor reads it in another way than runc,
// and says what it then does not enforce.
func (c *Config) forGVisor(s *specs.Spec) []string {
	// It would mount a /sys of its own.
	s.Mounts = slices.Insert(s.Mounts, 1, specs.Mount{
		Destination: "/sys", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "nosuid", "nodev", "noexec", "mode=755", "size=4k"},
	})
	for i, call := range s.Linux.Seccomp.Syscalls {
		if call.ErrnoRet != nil && *call.ErrnoRet == uint(unix.ENOSYS) {
			// Its errors are all EPERM, but for a call that is given to a tracer where
			// there is none, and there can be none: ptrace is not on the list.
			s.Linux.Seccomp.Syscalls[i].Action, s.Linux.Seccomp.Syscalls[i].ErrnoRet = specs.ActTrace, nil
		}
	}
	return c.countInside(s)
}

// countInside has gVisor count the app's processes. On the machine they are threads
// of gVisor, which has some of its own, and breaks when it gets no more: what the
// machine counts has room for them.
func (c *Config) countInside(s *specs.Spec) []string {
	const own, each = 256, 8
	most := c.Limits.Pids
	s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_NPROC", Hard: uint64(most), Soft: uint64(most)})
	if pids := s.Linux.Resources.Pids; pids != nil {
		room := min(most, math.MaxInt32)*each + own
		pids.Limit = &room
	}
	if slices.Contains(c.Capabilities, "CAP_SETUID") {
		return []string{fmt.Sprintf(notEnforced+"limits.pids %d: gVisor counts the processes of each user by themselves, and with CAP_SETUID the app can be several", most)}
	}
	return nil
}
