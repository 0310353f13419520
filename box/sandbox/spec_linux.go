package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// bundle is where the parts of one run are.
type bundle struct {
	netns, socket, resolv, hosts string // paths in the keeper's view
	cgroup                       string
	has                          controllers
}

// configuration writes what the runtime shall do, and says what it will not.
func (c *Config) configuration(b bundle) (*specs.Spec, []string, error) {
	process, notes, err := c.process()
	if err != nil {
		return nil, nil, err
	}
	resources, missing := c.resources(b.has)
	s := &specs.Spec{
		Version:  "1.0.2", // the least that any runtime of today reads
		Process:  process,
		Root:     &specs.Root{Path: c.Root, Readonly: !c.loose},
		Hostname: c.Name,
		Mounts:   c.mounts(process.User, b),
		Linux: &specs.Linux{
			Namespaces:    namespaces(b.netns),
			UIDMappings:   c.users(),
			GIDMappings:   c.users(),
			CgroupsPath:   b.cgroup,
			Resources:     resources,
			Seccomp:       seccomp(),
			MaskedPaths:   masked(),
			ReadonlyPaths: readOnly(),
		},
	}
	if c.GVisor {
		missing = append(missing, c.forGVisor(s)...)
	}
	return s, append(notes, missing...), nil
}

// users are those that there are inside.
func (c *Config) users() []specs.LinuxIDMapping {
	if c.OneUser {
		return []specs.LinuxIDMapping{{Size: 1}}
	}
	return []specs.LinuxIDMapping{{HostID: c.Shift, Size: idRange}}
}

func (c *Config) process() (*specs.Process, []string, error) {
	user, note, err := c.user()
	if err != nil {
		return nil, nil, err
	}
	args := c.Command
	if len(args) == 0 {
		args = append(slices.Clone(c.Image.Entrypoint), c.Image.Cmd...)
	}
	if len(args) == 0 || args[0] == "" {
		return nil, nil, errors.New("sandbox: neither the policy nor the image has a command")
	}
	dir, err := c.workDir()
	if err != nil {
		return nil, nil, err
	}
	var notes []string
	if note != "" {
		notes = []string{note}
	}
	oom := oomScore
	return &specs.Process{
		User: specs.User{UID: user.UID, GID: user.GID}, Args: args, Env: c.environment(), Cwd: dir,
		Capabilities: c.capabilities(), NoNewPrivileges: true, OOMScoreAdj: &oom,
		Rlimits: []specs.POSIXRlimit{
			{Type: "RLIMIT_NOFILE", Hard: c.Limits.OpenFiles, Soft: c.Limits.OpenFiles},
			{Type: "RLIMIT_CORE"}, // a core holds what the app was sent
		},
	}, notes, nil
}

// oomScore has the kernel end the app before the box (proc(5), oom_score_adj).
const oomScore = 500

// workDir keeps the program from starting in what the kernel shows: a runtime
// that leaks a descriptor leaks it there (CVE-2024-21626), and an image can have a
// link to it. What the runtime gets is where the folder really is in the image, so
// there is no link for it to follow. Its version is not asked for: distributions
// mend old ones under old numbers, and with a path that is no link into /proc it
// does not matter whether the runtime has the fix.
func (c *Config) workDir() (string, error) {
	dir := c.WorkDir
	if dir == "" {
		dir = c.Image.WorkingDir
	}
	if dir == "" || dir == "/" {
		return "/", nil
	}
	dir = path.Clean(dir)
	if err := mountable("working folder", dir); err != nil {
		return "", err
	}
	real, err := resolve(c.Root, dir)
	if err != nil {
		return "", fmt.Errorf("sandbox: working folder %.200s: %w; give the app another one", dir, err)
	}
	if real == "/" {
		return "/", nil
	}
	if err := mountable("working folder", real); err != nil {
		return "", err
	}
	return real, nil
}

// defaultPath is the PATH of an app whose policy and image set none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is the whole environment of the app, sorted.
func (c *Config) environment() []string {
	vars := map[string]string{"PATH": defaultPath}
	for _, e := range c.Image.Env {
		name, value, _ := strings.Cut(e, "=")
		vars[name] = value
	}
	for name, value := range c.Env {
		vars[name] = value
	}
	out := make([]string, 0, len(vars))
	for name, value := range vars {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// namespaces are all that there are. Only the network's is made before.
func namespaces(netns string) []specs.LinuxNamespace {
	return []specs.LinuxNamespace{
		{Type: specs.UserNamespace}, {Type: specs.MountNamespace}, {Type: specs.PIDNamespace},
		{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace},
		{Type: specs.NetworkNamespace, Path: netns},
	}
}

// mounts are the app's file systems. There is no /sys: what it shows is the
// machine's, and configfs, by which evidence is asked for, is below it.
func (c *Config) mounts(u specs.User, b bundle) []specs.Mount {
	const shared = 64 << 20 // POSIX shared memory, which counts as memory
	out := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "nodev", "noexec"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "mode=755", "size=64k", "nr_inodes=64"}},
		memory("/dev/shm", shared, u),
	}
	if c.Terminals {
		out = append(out, specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "max=32"}})
	}
	if c.Files.Tmp > 0 {
		out = append(out, memory("/tmp", c.Files.Tmp, u))
	}
	// The outer ones first, so that none hides another.
	writable := slices.SortedFunc(slices.Values(c.Files.Writable), func(a, b Writable) int { return strings.Compare(a.Path, b.Path) })
	for _, w := range writable {
		out = append(out, memory(w.Path, w.Size, u))
	}
	if a, err := c.listen(); err == nil && a.unix != "" {
		out = append(out, specs.Mount{Destination: path.Dir(a.unix), Type: "bind", Source: b.socket, Options: []string{"bind", "nosuid", "nodev", "noexec"}})
	}
	for _, f := range []struct{ at, from, text string }{{"/etc/resolv.conf", b.resolv, c.ResolvConf}, {"/etc/hosts", b.hosts, c.Hosts}} {
		if f.text != "" {
			out = append(out, specs.Mount{Destination: f.at, Type: "bind", Source: f.from, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}})
		}
	}
	return out
}

// memory is a folder in memory that belongs to the app. A file of no bytes takes
// memory too, so their number has a bound as well.
func memory(at string, size int64, u specs.User) specs.Mount {
	const perFile = 4096
	return specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs", Options: []string{
		"nosuid", "nodev", "noexec", "mode=700", fmt.Sprintf("uid=%d", u.UID), fmt.Sprintf("gid=%d", u.GID),
		fmt.Sprintf("size=%d", size), fmt.Sprintf("nr_inodes=%d", max(size/perFile, 64)),
	}}
}

// masked are files that tell about the machine or steer it; the app sees an
// empty one in their place.
func masked() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/config.gz", "/proc/interrupts", "/proc/iomem", "/proc/ioports", "/proc/kallsyms",
		"/proc/kcore", "/proc/key-users", "/proc/keys", "/proc/kmsg", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags",
		"/proc/latency_stats", "/proc/modules", "/proc/sched_debug", "/proc/schedstat", "/proc/scsi", "/proc/slabinfo",
		"/proc/softirqs", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo", "/proc/zoneinfo",
	}
}

func readOnly() []string {
	return []string{"/proc/bus", "/proc/driver", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/tty"}
}
