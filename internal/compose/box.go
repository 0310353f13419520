package compose

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/blindbox/blindbox/policy"
)

// box is the policy in the making.
type box struct {
	name     string
	app      part
	listen   int
	services []part
}

// part is one service of the file.
type part struct {
	name, from   string // from is where the file speaks of it
	image        string
	digest       string
	command      []string
	env          map[string]string
	dir, user    string
	capabilities []string
	listen       int
	tmp          int64
	writable     map[string]int64
	memory       int64
	pids, files  int64
	cpu          string
	after        []string
}

func (c *converter) box(ctx context.Context, p *types.Project) *box {
	b := &box{}
	parts := map[string]*part{}
	for _, name := range c.inOrder(p) {
		s := p.Services[name]
		parts[name] = c.part(ctx, p, &s)
	}
	front := c.front(p)
	if front == "" {
		return b
	}
	s := p.Services[front]
	b.listen = c.appPort(&s)
	b.name = front
	c.sharedVolumes(p)
	for _, name := range c.start(p, parts, front) {
		if name == front {
			b.app = *parts[name]
			continue
		}
		b.services = append(b.services, *parts[name])
	}
	if len(b.services) > policy.MaxServices {
		c.refuse("services", "%d services beside the app, at most %d", len(b.services), policy.MaxServices)
	}
	for _, s := range b.services {
		if s.name == "app" || s.name == "localhost" {
			c.refuse(s.from, "the name is that of the app, or of the machine itself; give the service another one")
		}
	}
	c.general(p)
	return b
}

// inOrder are the names of services in the order of the file.
func (c *converter) inOrder(p *types.Project) []string {
	return slices.SortedFunc(maps.Keys(p.Services), func(a, b string) int {
		if n := c.line("services."+a) - c.line("services."+b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
}

// front finds the service that answers requests.
func (c *converter) front(p *types.Project) string {
	if c.cfg.App != "" {
		if _, ok := p.Services[c.cfg.App]; !ok {
			c.refuse("services", "there is no service %.80q, which --app names", c.cfg.App)
			return ""
		}
		return c.cfg.App
	}
	var with []string
	for _, name := range c.inOrder(p) {
		if len(p.Services[name].Ports) > 0 {
			with = append(with, name)
		}
	}
	switch {
	case len(with) == 1:
		return with[0]
	case len(with) == 0 && len(p.Services) == 1:
		return c.inOrder(p)[0]
	case len(with) == 0:
		c.refuse("services", "no service has ports: say with --app which one answers requests")
	default:
		c.refuse("services", "%s have ports: say with --app which one answers requests; the others are then reached by services alone", strings.Join(with, " and "))
	}
	return ""
}

// appPort is where the app listens.
func (c *converter) appPort(s *types.ServiceConfig) int {
	at := "services." + s.Name
	if c.cfg.Listen > 0 {
		return c.cfg.Listen
	}
	switch known := ports(s); {
	case len(known) == 1:
		return known[0]
	case len(known) == 0:
		c.refuse(at, "it answers requests, and the file does not say at which port: give it expose or ports, or say it with --listen")
	default:
		c.refuse(at+".ports", "several ports, and a box has one: say with --listen at which of them it answers HTTP")
	}
	return 0
}

// ports are those at which a service accepts TCP, by what the file says.
func ports(s *types.ServiceConfig) (known []int) {
	add := func(n int) {
		if n > 0 && n < 1<<16 && !slices.Contains(known, n) {
			known = append(known, n)
		}
	}
	for _, p := range s.Ports {
		if p.Protocol == "" || p.Protocol == "tcp" {
			add(int(p.Target))
		}
	}
	for _, e := range s.Expose {
		if n, err := strconv.Atoi(strings.TrimSuffix(e, "/tcp")); err == nil {
			add(n)
		}
	}
	return known
}

// start is the order in which services start: those that others depend on first,
// otherwise that of the file, and the app last.
func (c *converter) start(p *types.Project, parts map[string]*part, front string) (order []string) {
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(name string)
	visit = func(name string) {
		if state[name] != 0 {
			if state[name] == visiting {
				c.refuse("services."+name+".depends_on", "it depends on itself by way of others; one of them must start first")
			}
			return
		}
		state[name] = visiting
		for _, before := range parts[name].after {
			if before == front {
				c.refuse("services."+name+".depends_on", "%s answers requests and starts last, when everything that it may need is there; take the line out", front)
				continue
			}
			visit(before)
		}
		state[name] = done
		order = append(order, name)
	}
	for _, name := range c.inOrder(p) {
		if name != front {
			visit(name)
		}
	}
	visit(front)
	return order
}

// part converts one service.
func (c *converter) part(ctx context.Context, p *types.Project, s *types.ServiceConfig) *part {
	at := "services." + s.Name
	out := &part{name: s.Name, from: at, dir: s.WorkingDir, writable: map[string]int64{}}
	if !serviceName.MatchString(s.Name) {
		c.refuse(at, "the name %.80q is no host name: 1 to 63 lower-case letters, digits or '-', the first and last a letter or digit", s.Name)
	}
	if known := ports(s); len(known) > 0 {
		out.listen = known[0]
	}
	c.image(ctx, s, out)
	c.environment(s, out)
	c.user(s, out)
	c.capabilities(s, out)
	c.files(s, out)
	c.limits(s, out)
	c.dependencies(p, s, out)
	c.rest(s)
	return out
}

var serviceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (c *converter) image(ctx context.Context, s *types.ServiceConfig, out *part) {
	at := "services." + s.Name
	name := s.Image
	if own, ok := c.cfg.Images[s.Name]; ok {
		name = own
	}
	if name == "" {
		c.refuse(at, "it has no image")
		return
	}
	im, err := c.cfg.Image(ctx, name)
	if err != nil {
		c.refuse(at+".image", "%v", err)
		return
	}
	out.image, out.digest = registryName(name), fmt.Sprintf("sha256:%x", im.Digest)
	// Docker: an entry point of the file's takes the image's command away with the
	// image's entry point; a command replaces the image's command alone.
	switch {
	case s.Entrypoint != nil:
		out.command = slices.Concat(s.Entrypoint, s.Command)
		if len(out.command) == 0 {
			c.refuse(at+".entrypoint", "nothing is left to start")
		}
	case s.Command != nil:
		out.command = slices.Concat(im.Entrypoint, s.Command)
	}
}

// registryName writes an image with its registry's name and without its digest.
func registryName(name string) string {
	if strings.HasPrefix(name, "oci:") {
		return name
	}
	name, _, _ = strings.Cut(name, "@")
	first, _, slash := strings.Cut(name, "/")
	switch {
	case !slash:
		return "docker.io/library/" + name
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return name
	}
	return "docker.io/" + name
}

// environment reads env_file and environment, which wins.
func (c *converter) environment(s *types.ServiceConfig, out *part) {
	at := "services." + s.Name
	out.env = map[string]string{}
	for i, f := range s.EnvFiles {
		maps.Copy(out.env, c.envFile(fmt.Sprintf("%s.env_file[%d]", at, i), f))
	}
	for name, value := range s.Environment {
		v := ""
		if value != nil {
			v = *value
		} else if given, ok := c.cfg.Variables[name]; ok {
			v = given
		} else {
			c.refuse(at+".environment", "%s has no value: give it one here or with --env %s=VALUE. Nothing is taken from this machine's environment", name, name)
		}
		out.env[name] = v
	}
	for _, name := range slices.Sorted(maps.Keys(out.env)) {
		switch {
		case !variable.MatchString(name):
			c.refuse(at+".environment", "the name %.80q, expected letters, digits and '_'", name)
		case secret.MatchString(name) && out.env[name] != "":
			c.leave(at+".environment", "%s looks like a secret. It is in the policy, which everybody who connects is shown: that is right for what only services show one another, and for nothing else", name)
		}
	}
}

var (
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secret   = regexp.MustCompile(`(?i)passw|secret|token|api_?key|private|credential`)
)

func (c *converter) envFile(at string, f types.EnvFile) map[string]string {
	if c.cfg.EnvFile == nil {
		c.refuse(at, "no files are read; write the variables into environment")
		return nil
	}
	if f.Format != "" {
		c.refuse(at, "the format %.40q, expected none", f.Format)
		return nil
	}
	text, err := c.cfg.EnvFile(f.Path)
	if err != nil {
		if !bool(f.Required) {
			c.leave(at, "%.200q cannot be read, and need not be", f.Path)
			return nil
		}
		c.refuse(at, "%v", err)
		return nil
	}
	env, err := dotenv.UnmarshalWithLookup(string(text), func(name string) (string, bool) {
		v, ok := c.cfg.Variables[name]
		return v, ok
	})
	if err != nil {
		// What the library says quotes the file.
		c.refuse(at, "%.200q is no list of NAME=VALUE", f.Path)
		return nil
	}
	return env
}

func (c *converter) user(s *types.ServiceConfig, out *part) {
	at := "services." + s.Name + ".user"
	uid, gid, both := strings.Cut(s.User, ":")
	if !both {
		gid = uid
	}
	switch {
	case s.User == "":
		return
	case s.User == "root":
		uid, gid = "0", "0"
	case !id.MatchString(uid) || !id.MatchString(gid):
		c.refuse(at, "%.80q: write two numbers, UID:GID; a name is the image's to give, and no policy's", s.User)
		return
	case !both:
		c.leave(at, "the group is not said; it is %s", gid)
	}
	if uid == "0" {
		c.leave(at, "the file makes it root; it is so inside its isolation, and nowhere else")
	}
	out.user = uid + ":" + gid
}

var id = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

func (c *converter) capabilities(s *types.ServiceConfig, out *part) {
	for i, name := range s.CapAdd {
		at := fmt.Sprintf("services.%s.cap_add[%d]", s.Name, i)
		full := "CAP_" + strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		switch {
		case !slices.Contains(grantable(), full):
			c.refuse(at, "%.40q reaches further than the service's own users, files and ports; a box gives %s", name, strings.Join(grantable(), ", "))
		case !slices.Contains(out.capabilities, full):
			out.capabilities = append(out.capabilities, full)
		}
	}
}

// dependencies reads what a service waits for.
func (c *converter) dependencies(p *types.Project, s *types.ServiceConfig, out *part) {
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[name]
		at := "services." + s.Name + ".depends_on." + name
		switch d.Condition {
		case "", types.ServiceConditionStarted:
		case types.ServiceConditionHealthy:
			if other, ok := p.Services[name]; ok && len(ports(&other)) == 0 {
				c.refuse(at, "nobody can know when it is ready: give %s expose with the port at which it accepts connections", name)
			}
		default:
			c.refuse(at, "%s: a box has no service that ends; do what it does in the app, or in its image", d.Condition)
		}
		out.after = append(out.after, name)
	}
}

// rest looks at values of keys that hold in every box, or do not.
func (c *converter) rest(s *types.ServiceConfig) {
	at := "services." + s.Name
	for i, opt := range s.SecurityOpt {
		if opt != "no-new-privileges" && opt != "no-new-privileges:true" && opt != "no-new-privileges=true" {
			c.refuse(fmt.Sprintf("%s.security_opt[%d]", at, i), "%.80q; a box has a list of system calls and no new privileges, always", opt)
		}
	}
	const shared = 64 << 20
	switch {
	case s.ShmSize > shared:
		c.refuse(at+".shm_size", "a service has 64MiB of shared memory")
	case s.ShmSize > 0:
		c.leave(at+".shm_size", "it is 64MiB")
	}
	if n := s.GetScale(); n != 1 {
		c.refuse(at+".scale", "%d of it; a service runs once", n)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		if n := s.Networks[name]; n != nil && (len(n.Aliases) > 0 || n.Ipv4Address != "" || n.Ipv6Address != "" || len(n.LinkLocalIPs) > 0 || n.MacAddress != "" || n.InterfaceName != "" || len(n.DriverOpts) > 0) {
			c.refuse(at+".networks."+name, "a service has its own name and an address that the box gives it; take aliases and addresses out")
		}
	}
	for i, e := range s.Expose {
		if _, err := strconv.Atoi(strings.TrimSuffix(e, "/tcp")); err != nil {
			c.refuse(fmt.Sprintf("%s.expose[%d]", at, i), "%.40q: one TCP port each", e)
		}
	}
	for i, p := range s.Ports {
		if p.Protocol != "" && p.Protocol != "tcp" {
			c.refuse(fmt.Sprintf("%s.ports[%d]", at, i), "%.40s; requests reach a box by TCP", p.Protocol)
		}
	}
}

// general tells what is about no line.
func (c *converter) general(p *types.Project) {
	names := c.inOrder(p)
	if len(p.Networks) > 1 {
		c.leave("networks", "a box has one network: every service reaches every other one")
	}
	for _, name := range names {
		s := p.Services[name]
		switch answers := name == c.front(p); {
		case len(s.Ports) == 0:
		case !answers:
			c.leave("services."+name+".ports", "nobody outside the box reaches it")
		default:
			for i, port := range s.Ports {
				if port.Published != "" || port.HostIP != "" {
					c.leave(fmt.Sprintf("services.%s.ports[%d]", name, i), "clients reach the box at its own address, over the attested channel, and never this port")
				}
			}
		}
		if !s.ReadOnly {
			c.leave("services."+name, "its image is read-only all the same; it writes to its volumes and tmpfs alone")
		}
	}
	c.left = append(c.left,
		Note{0, "callers", "nobody may call the box yet: add callers to the policy"},
		Note{0, "egress", "nothing in the box may connect outside: add egress to the policy where a service needs it"},
	)
}
