// Package sandbox runs an app from an image inside the box, apart from the box.
// It answers one question: what can the app reach besides its own files, its own
// memory and the connections that the box opens to it?
//
// Nothing, unless the policy says otherwise. The package writes an OCI runtime
// configuration of its own (opencontainers/runtime-spec) and has runc or runsc
// do it: a read-only root, namespaces for users, mounts, processes, network, IPC,
// host name and cgroups, no capability, no_new_privs, an allow-list of system
// calls, no devices but those that hold nothing, memory-backed folders with a
// size, and limits of memory, processes and processor time. Root inside is a user
// outside that owns nothing. Nothing of the image but its program, its
// environment and its user goes into the configuration, and only where the
// policy is silent.
//
// The app is in a process namespace of a keeper, which the kernel ends when the
// box's process ends, however that happens, and with it everything in it
// ([Keep]). The box reaches the app by sockets that are made in the app's network
// namespace, or by one socket in a folder that both see ([App.Dial]).
//
// The package stands inside the box, between the box and an app that is taken
// to be hostile. The runtime is a program in the image that is measured with it,
// and trusted as the box itself is.
package sandbox

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// Config is one app. What the policy says comes first; of the rest Root, Dir,
// Runtime, Shift and both grace times are required.
type Config struct {
	Name string // the host name inside
	// Command replaces the image's entry point and command.
	Command []string
	// Env is added to the image's environment and wins.
	Env map[string]string
	// WorkDir is where the program starts; "" means the image's own.
	WorkDir string
	// Listen is where the app accepts connections: "127.0.0.1:8000" or
	// "unix:/run/app/http.sock". The socket's folder is the app's only shared one.
	Listen string
	// Service is set for a program beside the app. Its address is in its network for
	// the others of the box, and not on its loopback interface; "" means that it
	// accepts no connections, and nothing waits for it.
	Service bool
	// User is whom the app runs as. nil means the image's user, and nobody if
	// that is root.
	User *User
	// Capabilities are "CAP_" names out of [GrantableCapabilities].
	Capabilities []string
	Files        Files
	Limits       Limits

	// Image is the configuration of the image, Root the path of its tree.
	Image oci.Config
	Root  string
	// NetNS is the path of the app's network namespace; "" means a new one in
	// which there is nothing but the loopback interface.
	NetNS string
	// ResolvConf is the text of /etc/resolv.conf; "" leaves the image's.
	ResolvConf string
	// Hosts is the text of /etc/hosts; "" leaves the image's.
	Hosts string
	// Terminals gives commands beside the app a place for theirs, see [App.Exec].
	Terminals bool
	// Dir is a folder in memory that nobody else writes to.
	Dir string
	// Runtime is the path of runc, or of runsc if GVisor is set.
	Runtime string
	// GVisor has gVisor's kernel, a process of its own, between the app and the
	// machine's. Rewire, if it is set, is called before each start: gVisor takes
	// the addresses of the network namespace for itself and does not give them back.
	GVisor bool
	Rewire func() error
	// Shift is the user outside that is root inside.
	Shift uint32
	// OneUser says that this is the root of a user namespace with no other user in it:
	// the app is the same user as the box, and nothing bounds what it takes. It is for a
	// developer's own machine.
	OneUser bool
	// StartGrace is how long the app may take to accept its first connection,
	// StopGrace how long it may take to end after SIGTERM.
	StartGrace, StopGrace time.Duration
	// Output gets what the app prints; nil discards it.
	Output io.Writer
	// Exited is told how the app ended, if it was not asked to.
	Exited func(how string)

	loose bool // see App.Loosen
}

// Terminal is what a command beside the app has if it is for a person.
type Terminal struct {
	Kind          string // for TERM
	Rows, Columns uint16
}

// User is a user and group inside.
type User struct{ UID, GID uint32 }

// Files says where the app may write. The zero Files is nowhere.
type Files struct {
	Tmp      int64 // bytes of /tmp
	Writable []Writable
}

// Writable is a folder in memory, empty at every start.
type Writable struct {
	Path string
	Size int64
}

// Limits bounds what the app uses up. Zero fields are refused, but for CPU.
type Limits struct {
	Memory    int64 // bytes, those of its files included
	Pids      int64
	CPU       float64 // processors; 0 means all
	OpenFiles uint64
}

// idRange is how many users a namespace has.
const idRange = 65536

// nobody is who owns nothing.
var nobody = User{65534, 65534}

func (c *Config) check() error {
	err := errors.Join(c.checkHost(), c.checkLimits(), c.checkFiles(), c.checkCapabilities())
	if _, e := c.listen(); e != nil {
		err = errors.Join(err, e)
	}
	if c.GVisor {
		err = errors.Join(err, c.checkGVisor())
	}
	if c.User != nil && (c.User.UID >= idRange || c.User.GID >= idRange) {
		err = errors.Join(err, fmt.Errorf("sandbox: user %d:%d, expected both below %d", c.User.UID, c.User.GID, idRange))
	}
	return err
}

func (c *Config) checkHost() error {
	var err error
	for name, p := range map[string]string{"root": c.Root, "folder": c.Dir, "runtime": c.Runtime} {
		if !filepath.IsAbs(p) {
			err = errors.Join(err, fmt.Errorf("sandbox: %s %q, expected an absolute path", name, p))
		}
	}
	if c.Shift < idRange && !c.OneUser {
		err = errors.Join(err, fmt.Errorf("sandbox: root inside would be user %d outside, expected %d or more", c.Shift, idRange))
	}
	// The highest number of all means "no user" (chown(2), setreuid(2)); those above
	// would begin anew at root.
	if c.Shift > math.MaxUint32-idRange {
		err = errors.Join(err, fmt.Errorf("sandbox: root inside would be user %d outside, expected at most %d: all %d users need a number", c.Shift, uint32(math.MaxUint32-idRange), idRange))
	}
	if c.StartGrace <= 0 || c.StopGrace <= 0 {
		err = errors.Join(err, fmt.Errorf("sandbox: grace times %s and %s, expected more than none", c.StartGrace, c.StopGrace))
	}
	if !hostName(c.Name) {
		err = errors.Join(err, fmt.Errorf("sandbox: name %.80q, expected up to 63 letters, digits and dashes", c.Name))
	}
	return err
}

func hostName(s string) bool {
	const most = 63 // RFC 1123, section 2.1
	return s != "" && len(s) <= most && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (c *Config) checkLimits() error {
	if c.Limits.Memory <= 0 || c.Limits.Pids <= 0 || c.Limits.OpenFiles == 0 || c.Limits.CPU < 0 {
		return fmt.Errorf("sandbox: limits %+v, expected memory, pids and open files to be more than none", c.Limits)
	}
	return nil
}

func (c *Config) checkFiles() error {
	if c.Files.Tmp < 0 {
		return fmt.Errorf("sandbox: /tmp of %d bytes", c.Files.Tmp)
	}
	var err error
	seen := map[string]bool{"/tmp": c.Files.Tmp > 0, "/dev/shm": true}
	for _, w := range c.Files.Writable {
		err = errors.Join(err, mountable("writable folder", w.Path))
		if w.Size <= 0 {
			err = errors.Join(err, fmt.Errorf("sandbox: writable folder %s of %d bytes, expected more than none", w.Path, w.Size))
		}
		if seen[w.Path] {
			err = errors.Join(err, fmt.Errorf("sandbox: writable folder %s twice", w.Path))
		}
		seen[w.Path] = true
	}
	return errors.Join(err, c.checkHidden())
}

// checkHidden refuses what the socket's folder, which is mounted last, would hide.
func (c *Config) checkHidden() error {
	a, err := c.listen()
	if err != nil || a.unix == "" {
		return nil // reported elsewhere
	}
	folder := path.Dir(a.unix)
	if c.Files.Tmp > 0 && within("/tmp", folder) {
		err = fmt.Errorf("sandbox: /tmp would be hidden by the socket's folder %s", folder)
	}
	for _, w := range c.Files.Writable {
		if within(w.Path, folder) {
			err = errors.Join(err, fmt.Errorf("sandbox: writable folder %s would be hidden by the socket's folder %s", w.Path, folder))
		}
	}
	return err
}

// mountable refuses to put something where the kernel's own files are.
func mountable(what, p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.ContainsAny(p, "\x00\n") {
		return fmt.Errorf("sandbox: %s %.200q, expected an absolute path with neither . nor .. in it", what, p)
	}
	if within(p, "/proc", "/sys", "/dev") {
		return fmt.Errorf("sandbox: %s %s is inside of what the kernel shows", what, p)
	}
	return nil
}

func within(p string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") })
}

// checkGVisor refuses an address that gVisor does not connect to from outside: its
// network is its own, and the way in leads to one address.
func (c *Config) checkGVisor() error {
	a, err := c.listen()
	if err == nil && !c.Service && a.unix == "" && a.tcp.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return fmt.Errorf("sandbox: address %s, expected 127.0.0.1:PORT or unix:PATH with gVisor", c.Listen)
	}
	return nil
}

// address is where the app accepts connections: one of the two is set.
type address struct {
	tcp  netip.AddrPort
	unix string
}

func (c *Config) listen() (address, error) {
	if p, ok := strings.CutPrefix(c.Listen, "unix:"); ok {
		err := mountable("socket", p)
		if err == nil {
			err = mountable("folder of the socket", path.Dir(p))
		}
		if err != nil {
			return address{}, err
		}
		return address{unix: p}, nil
	}
	if c.Service {
		return c.listenService()
	}
	a, err := netip.ParseAddrPort(c.Listen)
	if err != nil || !a.Addr().IsLoopback() || a.Port() == 0 {
		return address{}, fmt.Errorf("sandbox: address %.80q, expected 127.0.0.1:PORT or unix:PATH", c.Listen)
	}
	return address{tcp: a}, nil
}
