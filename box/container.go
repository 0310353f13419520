package box

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/box/sandbox/rootfs"
	"github.com/blindbox/blindbox/policy"
)

// Containers is what apps from images take of the machine. Images, Dir and
// Runtime are required.
type Containers struct {
	// Images is the folder where the paths of "oci:PATH" begin. An image of a
	// registry is looked for there too, as a layout named sha256-DIGITS by its
	// digest: a box fetches nothing. Nobody has to be trusted with the folder.
	Images string
	// Dir is a folder in memory that is the box's alone. What is in it is deleted.
	Dir string
	// Runtime is the path of runc, GVisor that of runsc. The policy says which of
	// them runs the app.
	Runtime, GVisor string
	// Resolver and Dial are how the box reaches what egress allows; nil means the
	// machine's own.
	Resolver egress.Resolver
	Dial     egress.Dial
	// Roots are who may sign the certificates of destinations with tls: verify; nil
	// means the machine's own.
	Roots *x509.CertPool
	// Refused is told what the app was refused; nil means that nobody is. It is for
	// a box on a developer's own machine: when an app tries something can depend on
	// what it was asked.
	Refused func(egress.Event)
	// Unenforced is told each line of the policy that the machine cannot enforce,
	// and the box starts all the same. It is for a box on a developer's own
	// machine. nil means that no box is started.
	Unenforced func(line string)
	// OneUser says that the box is root of a user namespace in which nobody else is. It
	// is for a box on a developer's own machine, and enforces less.
	OneUser bool
	// Learning watches the app; nil, as in every box that is one, does not.
	Learning *Learning
}

// userShift is the user outside that is root inside, the first of 65536 that
// nobody on the machine is.
const userShift = 1 << 20

func (c *Containers) check(p *policy.Policy) error {
	switch {
	case c == nil:
		return errors.New("box: the policy's app is an image, and this box has no place to run one")
	case gVisor(p) && c.GVisor == "":
		return fmt.Errorf("box: the policy has isolation: gvisor (line %d), and there is no runsc on this machine; nothing was started: install gVisor's runsc (docs/wrap-your-container.md), or take the line out and have the app run by runc", p.Line("app.isolation"))
	case !gVisor(p) && c.Runtime == "":
		return errors.New("box: the policy's app is an image, and there is no runc on this machine; nothing was started: install it (Debian's package is runc)")
	}
	return nil
}

func gVisor(p *policy.Policy) bool { return p.App.Isolation == policy.IsolationGVisor }

// runtime is the path of what runs the programs of a policy.
func (c *Containers) runtime(p *policy.Policy) string {
	if gVisor(p) {
		return c.GVisor
	}
	return c.Runtime
}

// rewire is what gVisor needs before each start.
func (c *container) rewire(ns *egress.Namespace, program int) func() error {
	if !gVisor(c.policy) {
		return nil
	}
	return func() error { return ns.Rewire(program) }
}

// container is an app from an image, in a network of its own, and the services beside
// it.
type container struct {
	policy *policy.Policy
	cfg    Containers
	output io.Writer
	exited func(how string)
	note   func(string)
	// broken gets why the network ended by itself.
	broken chan error

	app      atomic.Pointer[sandbox.App] // nil until it was started
	services []service                   // those that were started, before the app was
	plan     egress.Plan
	proxy    *egress.Proxy
	undo     []func()
	undoing  sync.Once
}

// Start makes the app's network, then its files, then starts it in there. If one
// of them fails, all is taken down again.
func (c *container) Start(ctx context.Context) error {
	err := c.start(ctx)
	if err != nil {
		c.Stop()
	}
	return err
}

func (c *container) start(ctx context.Context) error {
	if c.cfg.OneUser && (len(c.policy.Services) > 0 || c.policy.App.Isolation == policy.IsolationGVisor) {
		return errors.New("services and gVisor need root: each program is another user; nothing was started")
	}
	release, err := claim(c.cfg.Dir)
	if err != nil {
		return err
	}
	c.later(release)
	ns, err := c.network()
	if err != nil {
		return err
	}
	if err := c.startServices(ctx, ns); err != nil {
		return err
	}
	network := ns.Path()
	if len(c.policy.Services) > 0 {
		network = ns.PathOf(0)
	}
	image, tree, err := c.unpack(c.policy.App.Image, c.policy.App.Digest, filepath.Join(c.cfg.Dir, "images"), userShift)
	if err == nil {
		err = hidesNothing(tree.Path, &c.policy.Files)
	}
	if err != nil {
		return err
	}
	cfg := c.sandbox(network, image.Config, tree.Path)
	cfg.Rewire = c.rewire(ns, 0)
	app, err := sandbox.New(cfg)
	if err != nil {
		return err
	}
	if err := c.tell(tree, app, ""); err != nil {
		return err
	}
	if err := c.learn(app, tree.Path); err != nil {
		return err
	}
	if err := app.Start(ctx); err != nil {
		return err
	}
	c.later(app.Stop)
	c.app.Store(app)
	return nil
}

// later has f done by Stop, before what was given earlier.
func (c *container) later(f func()) { c.undo = append(c.undo, f) }

// Stop ends the app, then takes down what it stood on.
func (c *container) Stop() {
	c.undoing.Do(func() {
		for _, f := range slices.Backward(c.undo) {
			f()
		}
	})
}

// Accepting reports whether the app runs and accepted a connection, and so do all
// services.
func (c *container) Accepting() bool {
	app := c.app.Load()
	return app != nil && c.missing() == "" && app.Accepting()
}

// Dial connects to the app, unless something that it stands on does not run.
func (c *container) Dial(ctx context.Context) (net.Conn, error) {
	app := c.app.Load()
	if app == nil {
		return nil, errors.New("the app was not started")
	}
	if name := c.missing(); name != "" {
		return nil, fmt.Errorf("the service %s does not run now", name)
	}
	conn, err := app.Dial(ctx)
	if err != nil || len(c.services) == 0 {
		return conn, err
	}
	return guarded{conn, c.missing}, nil
}

// network makes the app's network and has the proxy serve it.
func (c *container) network() (*egress.Namespace, error) {
	cfg, err := c.egress()
	if err != nil {
		return nil, err
	}
	if c.plan, err = egress.NewPlan(c.policy.Egress); err != nil {
		return nil, err
	}
	if n := len(c.policy.Services); n > 0 {
		c.plan.Programs = 1 + n
	}
	if c.cfg.Learning != nil {
		c.plan, cfg.Wanted = egress.NewRecordingPlan(c.plan), c.cfg.Learning.Attempt
	}
	if c.proxy, err = egress.New(cfg); err != nil {
		return nil, err
	}
	ns, err := egress.NewNamespace(c.plan)
	if err != nil {
		return nil, err
	}
	c.later(func() { ns.Close() })
	c.later(c.proxy.Close)
	go func() {
		// Without it nothing leaves the app's network, and nobody counts what tries.
		if err := c.proxy.Serve(ns.Listeners()); err != nil {
			c.broken <- fmt.Errorf("box: the app's network failed: %w", err)
		}
	}()
	return ns, nil
}

func (c *container) egress() (egress.Config, error) {
	cfg := egress.Config{
		Egress: c.policy.Egress, Resolver: c.cfg.Resolver, Dial: c.cfg.Dial, Roots: c.cfg.Roots,
		Clock: time.Now, Timeouts: egress.DefaultTimeouts(), Report: c.cfg.Refused,
	}
	if cfg.Resolver == nil {
		cfg.Resolver = &net.Resolver{PreferGo: true}
	}
	if cfg.Dial == nil {
		cfg.Dial = egress.DialTCP
	}
	verify := func(d policy.Destination) bool { return d.TLS == policy.TLSVerify }
	if cfg.Roots == nil && slices.ContainsFunc(c.policy.Egress.Allow, verify) {
		var err error
		if cfg.Roots, err = x509.SystemCertPool(); err != nil {
			return egress.Config{}, fmt.Errorf("who may sign certificates of destinations: %w", err)
		}
	}
	return cfg, nil
}

// left is what was counted in the app's network, nil if that is gone.
func (c *container) left() *egress.Counters {
	counters, err := c.proxy.Counters()
	if err != nil {
		return nil
	}
	return counters
}

// unpack compares an image with the policy's digest and makes its tree in a folder.
// shift is the user outside that is root inside.
func (c *container) unpack(from string, digest oci.Digest, images string, shift uint32) (*oci.Image, *rootfs.Tree, error) {
	image, err := oci.Open(c.layout(from, digest), digest, "linux", runtime.GOARCH, oci.DefaultLimits())
	if err != nil {
		return nil, nil, err
	}
	defer image.Close()
	store, err := rootfs.NewStore(rootfs.Config{Dir: images, Shift: shift, Limits: rootfs.DefaultLimits(), OneOwner: c.cfg.OneUser})
	if err != nil {
		return nil, nil, err
	}
	// What is left if that fails is deleted by the next box.
	c.later(func() { os.RemoveAll(images) })
	tree, err := store.Get(image)
	return image, tree, err
}

// hidesNothing refuses folders in memory that would hide files of the image.
func hidesNothing(root string, f *policy.Files) error {
	var all error
	for _, w := range f.Writable {
		file, err := sandbox.Hides(root, w.Path)
		if err == nil && file != "" {
			err = fmt.Errorf("the image has %.200q there, which the app would not see", file)
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("files.writable %s (line %d of the policy): %w; nothing was started: name a folder that is empty in the image, or not there, and have the app write to it", w.Path, w.Line, err))
		}
	}
	return all
}

// layout is the path of an image.
func (c *container) layout(image string, digest oci.Digest) string {
	path, ok := strings.CutPrefix(image, "oci:")
	switch {
	case !ok:
		return filepath.Join(c.cfg.Images, "sha256-"+digest.Hex())
	case filepath.IsAbs(path):
		return path
	}
	return filepath.Join(c.cfg.Images, path)
}

// tell says what is not as image and policy have it, behind whom it is about, and
// refuses what is less than the policy promises.
func (c *container) tell(tree *rootfs.Tree, app *sandbox.App, who string) error {
	for _, line := range slices.Concat(tree.Report.Lines(), app.Notes()) {
		c.note(who + line)
	}
	return c.cfg.accept(app.Unenforced())
}

func (c *Containers) accept(unenforced []string) error {
	if len(unenforced) > 0 && c.Unenforced == nil {
		return fmt.Errorf("the policy says more than this machine enforces; nothing was started: %s", strings.Join(unenforced, "; "))
	}
	for _, line := range unenforced {
		c.Unenforced(line)
	}
	return nil
}

// sandbox says what the policy says in the words of package sandbox.
func (c *container) sandbox(network string, image *oci.Config, root string) sandbox.Config {
	p, a := c.policy, c.policy.App
	cfg := sandbox.Config{
		Name: p.HostName(), Command: a.Command, Env: c.environment(a.Env), WorkDir: a.Dir, Listen: a.Listen,
		Capabilities: a.Capabilities, Files: filesOf(&p.Files), User: userOf(a.User),
		Limits: sandbox.Limits{
			Memory: p.Limits.Memory, Pids: int64(p.Limits.PIDs), CPU: float64(p.Limits.CPU) / 1000, OpenFiles: uint64(p.Limits.OpenFiles),
		},
		Image: *image, Root: root, NetNS: network, ResolvConf: c.plan.ResolvConf(), Hosts: c.hosts(),
		Dir: filepath.Join(c.cfg.Dir, "runs"), Runtime: c.cfg.runtime(p), GVisor: gVisor(p), Shift: userShift, OneUser: c.cfg.OneUser,
		StartGrace: startGrace, StopGrace: appGrace, Output: c.output, Exited: c.exited,
		Terminals: hasShell(p),
	}
	return cfg
}
