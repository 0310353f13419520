package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Namespace is a network of the app's own, and, if there is a wire, the gate at
// its other end.
//
// Both namespaces live as long as this process holds them open or something runs
// in them. The gate holds nothing but our sockets: if this process dies, however
// that happens, the gate goes, and the wire with it. An app that outlives us is
// left with loopback.
type Namespace struct {
	plan      Plan
	app, gate *os.File
	inner     []*os.File // of several programs
	listeners Listeners

	close  sync.Once
	closed error
}

// NewNamespace makes the app's network. It needs root (CAP_SYS_ADMIN and
// CAP_NET_ADMIN); without, the error is a *[NotEnforcedError].
func NewNamespace(plan Plan) (*Namespace, error) {
	n := &Namespace{plan: plan}
	if err := n.build(); err != nil {
		n.Close()
		if errors.Is(err, unix.EPERM) {
			return nil, &NotEnforcedError{err}
		}
		return nil, fmt.Errorf("egress: the app's network could not be made: %w", err)
	}
	return n, nil
}

func (n *Namespace) build() error {
	var err error
	if n.app, err = newNetwork(); err != nil {
		return err
	}
	if err := within(n.app, loopbackUp); err != nil {
		return err
	}
	if n.plan.Proxy == 0 {
		n.listeners.Dropped = n.unrouted
		return n.buildInner()
	}
	if n.gate, err = newNetwork(); err != nil {
		return err
	}
	// The rules hook to the gate's end, so that end must be there first. Nothing
	// can be sent before the app's end is up, which is last.
	if err := within(n.gate, func() error { return n.buildGate() }); err != nil {
		return err
	}
	if err := within(n.app, func() error { return connectApp(n.plan) }); err != nil {
		return err
	}
	n.listeners.Dropped = n.dropped
	return n.buildInner()
}

func (n *Namespace) buildGate() error {
	if err := disableIPv6("all"); err != nil {
		return err
	}
	if err := connectGate(n.plan, int(n.app.Fd())); err != nil {
		return err
	}
	if err := applyRules(n.plan); err != nil {
		return err
	}
	if n.plan.Record {
		tap, err := openTap()
		if err != nil {
			return err
		}
		n.listeners.Tap = tap
	}
	return n.listen()
}

// listen makes the sockets in the gate. They stay there, whoever uses them.
func (n *Namespace) listen() error {
	var err error
	l := &n.listeners
	if l.Explicit, err = net.Listen("tcp4", net.JoinHostPort(gateAddress, strconv.Itoa(int(n.plan.Proxy)))); err != nil {
		l.Explicit = nil
		return err
	}
	if l.DNS, err = net.ListenPacket("udp4", net.JoinHostPort(gateAddress, "53")); err != nil {
		l.DNS = nil
		return err
	}
	for _, port := range n.plan.ports() {
		t, err := net.Listen("tcp4", net.JoinHostPort("0.0.0.0", strconv.Itoa(int(port))))
		if err != nil {
			return err
		}
		l.Transparent = append(l.Transparent, t)
	}
	return nil
}

// Path names the app's network for whoever starts the app, such as an OCI
// runtime (linux.namespaces[].path). It is good while the Namespace is open.
func (n *Namespace) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.app.Fd())
}

// PathOf names the network of one of several programs, as [Namespace.Path] does.
func (n *Namespace) PathOf(i int) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.inner[i].Fd())
}

// Rewire gives the network of a program its addresses and routes again, for a
// runtime that takes them for itself. An app that is alone is program 0.
func (n *Namespace) Rewire(i int) error {
	network, end := n.app, func(r *route) { r.appEnd(n.plan) }
	switch {
	case n.plan.Programs > 0:
		network, end = n.inner[i], func(r *route) { r.programEnd(n.plan, i) }
	case n.plan.Proxy == 0:
		return nil // there is no wire
	}
	err := within(network, func() error {
		return withRoute(func(r *route) {
			r.again = true
			end(r)
		})
	})
	if err != nil {
		return fmt.Errorf("egress: the app's network could not be made again: %w", err)
	}
	return nil
}

// Plan returns what the Namespace was made of.
func (n *Namespace) Plan() Plan { return n.plan }

// Enter runs f in the app's network, on a thread that is given up afterwards.
// What f starts, a process above all, starts there; goroutines do not. It can gain
// no privilege, and makes no socket that a network namespace does not hold back.
func (n *Namespace) Enter(f func() error) error {
	return within(n.app, func() error {
		if err := confineFamilies(); err != nil {
			return fmt.Errorf("egress: %w", err)
		}
		return f()
	})
}

// DialContext connects from inside the app's network: this is how the box reaches
// an app that listens on its loopback. The address must be literal.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var c net.Conn
	err := within(n.app, func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close cuts the wire, even if the app still runs, and gives the networks up.
func (n *Namespace) Close() error {
	n.close.Do(func() { n.closed = n.tearDown() })
	return n.closed
}

func (n *Namespace) tearDown() error {
	var errs []error
	if n.gate != nil {
		errs = append(errs, within(n.gate, cut), n.gate.Close())
	}
	if n.app != nil {
		errs = append(errs, n.app.Close())
	}
	for _, f := range n.inner {
		errs = append(errs, f.Close())
	}
	l := &n.listeners
	if l.Explicit != nil {
		l.Explicit.Close() // the proxy may have closed these already
	}
	if l.DNS != nil {
		l.DNS.Close()
	}
	if l.Tap != nil {
		l.Tap.Close()
	}
	for _, t := range l.Transparent {
		t.Close()
	}
	return errors.Join(errs...)
}

// newNetwork makes a network namespace and returns it.
func newNetwork() (*os.File, error) {
	var f *os.File
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return f, err
}

// within runs f on a thread that is in a network.
func within(network *os.File, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread of its own that ends with it: a goroutine that ends
// while it is locked takes its thread along, so none goes back to the others in
// the wrong network.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread does not end; it would stay there. While we hold it, f
			// gets another one.
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		done <- f()
	}()
	return <-done
}

// disableIPv6 writes a setting of the calling thread's network. A kernel without
// IPv6 has none.
func disableIPv6(which string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
