package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// room is the app's network namespace. One thread of ours lives in it and makes
// sockets; a socket stays in the namespace that it was made in, whoever uses it.
// The thread is never used for anything else: when the room is closed, it ends.
type room struct {
	ns     *os.File
	calls  chan func()
	closed chan struct{}
}

// enter makes a namespace with nothing but a loopback interface, or enters the
// one at a path. The namespace belongs to the box's own user namespace: nobody
// inside can change it.
func enter(path string, lowPorts bool) (*room, error) {
	r := &room{calls: make(chan func()), closed: make(chan struct{})}
	entered := make(chan error)
	go r.live(path, lowPorts, entered)
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("sandbox: the app's network namespace: %w", err)
	}
	return r, nil
}

// live enters on a thread that ends with it, and makes calls there until the room
// is closed.
func (r *room) live(path string, lowPorts bool, entered chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread does not end; it would stay there. While we hold it,
		// another one enters.
		defer runtime.UnlockOSThread()
		inside := make(chan error)
		go r.live(path, lowPorts, inside)
		entered <- <-inside
		return
	}
	err := r.arrive(path, lowPorts)
	entered <- err
	if err != nil {
		return
	}
	for {
		select {
		case f := <-r.calls:
			f()
		case <-r.closed:
			return
		}
	}
}

func (r *room) arrive(path string, lowPorts bool) error {
	if path == "" {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := loopbackUp(); err != nil {
			return err
		}
	} else if err := join(path); err != nil {
		return err
	}
	if lowPorts {
		// The file is that of the namespace of whoever opens it.
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0); err != nil {
			return err
		}
	}
	ns, err := os.Open("/proc/thread-self/ns/net")
	r.ns = ns
	return err
}

func join(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%s: setns: %w", path, err)
	}
	return nil
}

// loopbackUp brings up the loopback interface (netdevice(7)).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// close ends the thread. The namespace lasts as long as something is in it.
func (r *room) close() {
	close(r.closed)
	r.ns.Close()
}

// dial connects to an address inside.
func (r *room) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	family, where := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if to.Addr().Is4() {
		family, where = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err := r.socket(family)
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, where)
	f := os.NewFile(uintptr(fd), to.String())
	defer f.Close() // net works with a copy
	if errors.Is(err, unix.EINPROGRESS) {
		err = connected(ctx, f)
	}
	if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

func (r *room) socket(family int) (fd int, err error) {
	done := make(chan struct{})
	open := func() {
		defer close(done)
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	}
	select {
	case r.calls <- open:
		<-done
		return fd, err
	case <-r.closed: // a request may still be on its way while the app is stopped
		return -1, net.ErrClosed
	}
}

// connected waits until a connection is made or refused (connect(2), EINPROGRESS).
func connected(ctx context.Context, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var result error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = err
		case code != 0:
			result = unix.Errno(code)
		default:
			_, err = unix.Getpeername(int(fd))
			return !errors.Is(err, unix.ENOTCONN)
		}
		return true
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, result)
}

// dialUnix connects to a socket in a folder that the app writes to. A link
// there could lead to any socket of the box, so nothing is followed.
func dialUnix(ctx context.Context, folder, name string) (net.Conn, error) {
	dir, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("sandbox: %s is no socket", name)
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(fd))
}
