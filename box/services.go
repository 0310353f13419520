package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/policy"
)

// service is a program beside the app, once it was started.
type service struct {
	name string
	*sandbox.App
}

// servicesName is the folder of what services are made of, in the box's own.
const servicesName = "services"

// usersEach is how many users each program has to itself, so that no two are the
// same one to the kernel: what it counts for each user, it counts for each program.
const usersEach = 1 << 16

// startServices starts what runs beside the app, in the policy's order, each when
// the one before accepts connections.
func (c *container) startServices(ctx context.Context, ns *egress.Namespace) error {
	dir := filepath.Join(c.cfg.Dir, servicesName)
	if err := clearServices(dir); err != nil {
		return err
	}
	if len(c.policy.Services) == 0 {
		return nil
	}
	c.later(func() { os.RemoveAll(dir) })
	if c.output != nil {
		c.output = &oneAtATime{to: c.output}
	}
	for i := range c.policy.Services {
		s := &c.policy.Services[i]
		if err := c.startService(ctx, ns, i, filepath.Join(dir, s.Name)); err != nil {
			return fmt.Errorf("the service %s: %w", s.Name, err)
		}
		c.note("the service " + s.Name + " runs")
	}
	return nil
}

func (c *container) startService(ctx context.Context, ns *egress.Namespace, i int, dir string) error {
	s, shift := &c.policy.Services[i], userShift+uint32(i+1)*usersEach
	image, tree, err := c.unpack(s.Image, s.Digest, filepath.Join(dir, "images"), shift)
	if err == nil {
		err = hidesNothing(tree.Path, &s.Files)
	}
	if err != nil {
		return err
	}
	cfg := c.serviceSandbox(i, image.Config, tree.Path)
	cfg.NetNS, cfg.Dir, cfg.Shift = ns.PathOf(i+1), filepath.Join(dir, "runs"), shift
	cfg.Rewire = c.rewire(ns, i+1)
	app, err := sandbox.New(cfg)
	if err != nil {
		return err
	}
	if err := c.tell(tree, app, "the service "+s.Name+": "); err != nil {
		return err
	}
	if err := app.Start(ctx); err != nil {
		return err
	}
	c.later(app.Stop)
	c.services = append(c.services, service{s.Name, app})
	return nil
}

// clearServices removes what a box left behind that was killed, under whatever
// policy it ran.
func clearServices(dir string) error {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, one := range all {
		err = errors.Join(err, sandbox.Clear(filepath.Join(dir, one.Name(), "runs")))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// missing names a service that does not run now, "" if all do.
func (c *container) missing() string {
	for _, s := range c.services {
		if !s.Accepting() {
			return s.name
		}
	}
	return ""
}

// oneAtATime is where several programs print to.
type oneAtATime struct {
	mu sync.Mutex
	to io.Writer
}

func (o *oneAtATime) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(b)
}

// guarded is a connection to the app over which nothing is asked while a service does
// not run: connections outlast requests.
type guarded struct {
	net.Conn
	missing func() string
}

func (g guarded) Write(b []byte) (int, error) {
	if name := g.missing(); name != "" {
		g.Conn.Close()
		return 0, fmt.Errorf("the service %s does not run now", name)
	}
	return g.Conn.Write(b)
}

// serviceSandbox says what the policy says of a service in the words of package
// sandbox.
func (c *container) serviceSandbox(i int, image *oci.Config, root string) sandbox.Config {
	s := &c.policy.Services[i]
	cfg := sandbox.Config{
		Name: s.Name, Service: true, Command: s.Command, Env: c.environment(s.Env), WorkDir: s.Dir, Capabilities: s.Capabilities,
		Files: filesOf(&s.Files), User: userOf(s.User),
		Limits: sandbox.Limits{Memory: s.Memory, Pids: int64(s.PIDs), CPU: float64(s.CPU) / 1000, OpenFiles: uint64(s.OpenFiles)},
		Image:  *image, Root: root, ResolvConf: c.plan.ResolvConf(), Hosts: c.hosts(), Runtime: c.cfg.runtime(c.policy), GVisor: gVisor(c.policy),
		StartGrace: startGrace, StopGrace: appGrace, Output: c.output,
		Exited: func(how string) {
			c.note("the service " + s.Name + " ended")
			c.exited("the service " + s.Name + ": " + how)
		},
	}
	if s.Listen > 0 {
		cfg.Listen = netip.AddrPortFrom(c.plan.AddressOf(i+1), s.Listen).String()
	}
	return cfg
}

// environment is what the policy gives a program, over what tells it of the proxy.
// What goes to the others does not go there.
func (c *container) environment(own map[string]string) map[string]string {
	env := c.plan.Environment()
	if env == nil {
		env = map[string]string{}
	}
	if len(c.policy.Services) > 0 {
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			if direct, ok := env[name]; ok {
				env[name] = direct + "," + strings.Join(c.names(), ",")
			}
		}
	}
	maps.Copy(env, own)
	return env
}

// names are the host names of the private network, the app's first.
func (c *container) names() []string {
	names := []string{"app", c.policy.HostName()}
	if names[1] == names[0] {
		names = names[:1]
	}
	for _, s := range c.policy.Services {
		names = append(names, s.Name)
	}
	return names
}

// hosts is the text of /etc/hosts: who has which address in the private network. It
// is "" for an app that is alone.
func (c *container) hosts() string {
	if len(c.policy.Services) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	names := c.names()
	own := len(names) - len(c.policy.Services)
	fmt.Fprintf(&b, "%s %s\n", c.plan.AddressOf(0), strings.Join(names[:own], " "))
	for i, name := range names[own:] {
		fmt.Fprintf(&b, "%s %s\n", c.plan.AddressOf(i+1), name)
	}
	return b.String()
}

func userOf(u *policy.User) *sandbox.User {
	if u == nil {
		return nil
	}
	return &sandbox.User{UID: u.UID, GID: u.GID}
}

func filesOf(f *policy.Files) sandbox.Files {
	out := sandbox.Files{Tmp: f.Tmp}
	for _, w := range f.Writable {
		out.Writable = append(out.Writable, sandbox.Writable{Path: w.Path, Size: w.Size})
	}
	return out
}
