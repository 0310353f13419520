package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

func valid() Config {
	return Config{
		Name: "whisper", Command: []string{"/app"}, Listen: "127.0.0.1:8000", Limits: Limits{Memory: 1 << 20, Pids: 5, OpenFiles: 9},
		Root: "/root", Dir: "/run", Runtime: "/runc", Shift: 1 << 20, StartGrace: time.Second, StopGrace: time.Second,
	}
}

func all() controllers { return controllers{memory: true, pids: true, cpu: true} }

func made(t *testing.T, c Config, has controllers) (*specs.Spec, []string) {
	t.Helper()
	s, notes, err := c.configuration(bundle{netns: "/run/netns", socket: "/run/socket", cgroup: "/x", has: has})
	if err != nil {
		t.Fatal(err)
	}
	return s, notes
}

// TestCheck: what is refused before anything is started.
func TestCheck(t *testing.T) {
	c := valid()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	for what, row := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no root":                    {func(c *Config) { c.Root = "" }, "root \"\""},
		"a relative root":            {func(c *Config) { c.Root = "root" }, "absolute"},
		"a relative folder":          {func(c *Config) { c.Dir = "x" }, "folder \"x\""},
		"a relative runtime":         {func(c *Config) { c.Runtime = "runc" }, "runtime \"runc\""},
		"root outside":               {func(c *Config) { c.Shift = 0 }, "root inside would be user 0"},
		"users of the machine":       {func(c *Config) { c.Shift = 65535 }, "65535 outside"},
		"users that wrap around":     {func(c *Config) { c.Shift = 1<<32 - 65536 }, "at most 4294901759"},
		"writable below the socket":  {hidden("/run/app/x"), "/run/app/x would be hidden"},
		"writable at the socket":     {hidden("/run/app"), "/run/app would be hidden"},
		"/tmp at the socket":         {func(c *Config) { c.Listen, c.Files.Tmp = "unix:/tmp/s", 1 }, "/tmp would be hidden"},
		"no grace to start":          {func(c *Config) { c.StartGrace = 0 }, "grace"},
		"no grace to stop":           {func(c *Config) { c.StopGrace = 0 }, "grace"},
		"no name":                    {func(c *Config) { c.Name = "" }, "name"},
		"a long name":                {func(c *Config) { c.Name = strings.Repeat("x", 64) }, "name"},
		"a name with a line break":   {func(c *Config) { c.Name = "a\nb" }, "name"},
		"no memory":                  {func(c *Config) { c.Limits.Memory = 0 }, "limits"},
		"no processes":               {func(c *Config) { c.Limits.Pids = 0 }, "limits"},
		"no files":                   {func(c *Config) { c.Limits.OpenFiles = 0 }, "limits"},
		"processors below none":      {func(c *Config) { c.Limits.CPU = -1 }, "limits"},
		"/tmp below none":            {func(c *Config) { c.Files.Tmp = -1 }, "/tmp"},
		"a relative writable folder": {writable("x", 1), "writable folder"},
		"the root writable":          {writable("/", 1), "writable folder"},
		"/proc writable":             {writable("/proc", 1), "kernel"},
		"below /sys writable":        {writable("/sys/x", 1), "kernel"},
		"/dev writable":              {writable("/dev/shm", 1), "kernel"},
		"a folder not clean":         {writable("/a/../proc", 1), "neither . nor .."},
		"a folder with a zero":       {writable("/a\x00", 1), "writable folder"},
		"a folder of no size":        {writable("/a", 0), "of 0 bytes"},
		"/tmp twice":                 {func(c *Config) { c.Files = Files{Tmp: 1, Writable: []Writable{{"/tmp", 1}}} }, "twice"},
		"a folder twice":             {func(c *Config) { c.Files.Writable = []Writable{{"/a", 1}, {"/a", 2}} }, "twice"},
		"a capability of the kernel": {func(c *Config) { c.Capabilities = []string{"CAP_SYS_ADMIN"} }, "CAP_SYS_ADMIN"},
		"raw sockets":                {func(c *Config) { c.Capabilities = []string{"CAP_NET_RAW"} }, "CAP_NET_RAW"},
		"a capability twice":         {func(c *Config) { c.Capabilities = []string{"CAP_KILL", "CAP_KILL"} }, "twice"},
		"a user too high":            {func(c *Config) { c.User = &User{65536, 1} }, "65536:1"},
		"a group too high":           {func(c *Config) { c.User = &User{1, 65536} }, "1:65536"},
		"no address":                 {func(c *Config) { c.Listen = "" }, "address"},
		"an address of the network":  {func(c *Config) { c.Listen = "0.0.0.0:80" }, "address"},
		"a name for an address":      {func(c *Config) { c.Listen = "localhost:80" }, "address"},
		"no port":                    {func(c *Config) { c.Listen = "127.0.0.1:0" }, "address"},
		"a socket in the root":       {func(c *Config) { c.Listen = "unix:/app.sock" }, "folder of the socket"},
		"a socket below /proc":       {func(c *Config) { c.Listen = "unix:/proc/x/app.sock" }, "kernel"},
		"a relative socket":          {func(c *Config) { c.Listen = "unix:app.sock" }, "socket"},
	} {
		c := valid()
		row.change(&c)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: error %v, expected one with %q", what, err, row.want)
		}
	}
	for what, change := range map[string]func(*Config){
		"the last users":            func(c *Config) { c.Shift = 1<<32 - 65537 },
		"writable above the socket": hidden("/run"), "writable beside the socket": hidden("/run/apple"),
		"a socket in /tmp":    func(c *Config) { c.Listen = "unix:/tmp/s" },
		"a socket below /tmp": func(c *Config) { c.Listen, c.Files.Tmp = "unix:/tmp/x/s", 1 },
	} {
		c := valid()
		change(&c)
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	c = Config{}
	if err := c.check(); err == nil || strings.Count(err.Error(), "\n") < 6 {
		t.Errorf("of an empty configuration only this is said: %v", err)
	}
}

func writable(p string, size int64) func(*Config) {
	return func(c *Config) { c.Files.Writable = []Writable{{p, size}} }
}

func hidden(p string) func(*Config) {
	return func(c *Config) { c.Listen, c.Files.Writable = "unix:/run/app/s", []Writable{{p, 1}} }
}

// TestConfiguration: the lines of the configuration that nothing else shows
// from inside, because several of them block the same.
func TestConfiguration(t *testing.T) {
	c := valid()
	c.Files = Files{Tmp: 1 << 20, Writable: []Writable{{"/b/c", 8192 * 100}, {"/b", 4096}}}
	c.Listen = "unix:/run/app/http.sock"
	s, notes := made(t, c, all())
	if !s.Root.Readonly || s.Root.Path != "/root" || s.Hostname != "whisper" || !s.Process.NoNewPrivileges || s.Process.Terminal || *s.Process.OOMScoreAdj != 500 {
		t.Errorf("root %+v, process %+v", s.Root, s.Process)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "nobody") || s.Process.User.UID != 65534 || s.Process.User.GID != 65534 {
		t.Errorf("notes %q, user %+v", notes, s.Process.User)
	}
	var kinds []string
	for _, n := range s.Linux.Namespaces {
		kinds = append(kinds, string(n.Type))
		if (n.Path != "") != (n.Type == specs.NetworkNamespace) {
			t.Errorf("namespace %s at %q", n.Type, n.Path)
		}
	}
	slices.Sort(kinds)
	if got := strings.Join(kinds, " "); got != "cgroup ipc mount network pid user uts" {
		t.Errorf("namespaces %s", got)
	}
	for _, m := range [][]specs.LinuxIDMapping{s.Linux.UIDMappings, s.Linux.GIDMappings} {
		if len(m) != 1 || m[0] != (specs.LinuxIDMapping{HostID: 1 << 20, Size: 65536}) {
			t.Errorf("mapping %+v", m)
		}
	}
	var places []string
	for _, m := range s.Mounts {
		places = append(places, m.Destination)
		for _, o := range []string{"nosuid", "noexec"} {
			if !slices.Contains(m.Options, o) {
				t.Errorf("%s is mounted without %s", m.Destination, o)
			}
		}
		if m.Destination != "/dev" && !slices.Contains(m.Options, "nodev") {
			t.Errorf("%s is mounted without nodev", m.Destination)
		}
	}
	if got := strings.Join(places, " "); got != "/proc /dev /dev/shm /tmp /b /b/c /run/app" {
		t.Errorf("mounts %s", got)
	}
	for i, want := range map[int]string{3: "size=1048576,nr_inodes=256", 4: "size=4096,nr_inodes=64", 5: "size=819200,nr_inodes=200"} {
		if got := strings.Join(s.Mounts[i].Options, ","); !strings.Contains(got, want) || !strings.Contains(got, "uid=65534,gid=65534") {
			t.Errorf("%s: %s, expected %s", s.Mounts[i].Destination, got, want)
		}
	}
	for _, p := range []string{"/proc/kcore", "/proc/keys", "/proc/sysrq-trigger", "/proc/kallsyms", "/proc/timer_list"} {
		if !slices.Contains(s.Linux.MaskedPaths, p) {
			t.Errorf("%s can be read", p)
		}
	}
	if !slices.Contains(s.Linux.ReadonlyPaths, "/proc/sys") {
		t.Error("/proc/sys can be written to")
	}
	for _, l := range s.Process.Rlimits {
		if l.Type == "RLIMIT_CORE" && l.Hard != 0 || l.Type == "RLIMIT_NOFILE" && (l.Hard != 9 || l.Soft != 9) {
			t.Errorf("limit %+v", l)
		}
	}
}

// TestResources: a limit is set, or its absence is told.
func TestResources(t *testing.T) {
	c := valid()
	c.Limits.CPU = 1.5
	c.User = &User{1, 2}
	s, notes := made(t, c, all())
	r := s.Linux.Resources
	if *r.Memory.Limit != 1<<20 || r.Memory.Swap != nil || *r.Pids.Limit != 5 || *r.CPU.Quota != 150000 || *r.CPU.Period != 100000 || len(notes) != 0 {
		t.Errorf("resources %+v, notes %q", r, notes)
	}
	if len(r.Devices) != 1 || r.Devices[0].Allow || r.Devices[0].Access != "rwm" {
		t.Errorf("devices %+v", r.Devices)
	}
	s, notes = made(t, c, controllers{})
	r = s.Linux.Resources
	if r.Memory != nil || r.Pids != nil || r.CPU != nil || len(notes) != 3 {
		t.Errorf("resources %+v, notes %q", r, notes)
	}
	for i, want := range []string{"NOT ENFORCED: limits.memory 1048576", "NOT ENFORCED: limits.pids 5", "NOT ENFORCED: limits.cpu 1.5"} {
		if !strings.HasPrefix(notes[i], want) {
			t.Errorf("note %q, expected %q", notes[i], want)
		}
	}
	s, notes = made(t, c, controllers{memory: true, pids: true, cpu: true, swapOn: true, swap: true})
	if *s.Linux.Resources.Memory.Swap != 1<<20 || len(notes) != 0 {
		t.Errorf("swap %+v, notes %q", s.Linux.Resources.Memory, notes)
	}
	s, notes = made(t, c, controllers{memory: true, pids: true, cpu: true, swapOn: true})
	if s.Linux.Resources.Memory.Swap != nil || len(notes) != 1 || !strings.Contains(notes[0], "swap") {
		t.Errorf("notes %q, expected one about swap", notes)
	}
	c.Limits.CPU = 0
	if s, notes = made(t, c, controllers{memory: true, pids: true}); s.Linux.Resources.CPU != nil || len(notes) != 0 {
		t.Errorf("without a limit of processors: %+v, %q", s.Linux.Resources.CPU, notes)
	}
}

func TestCapabilities(t *testing.T) {
	c := valid()
	s, _ := made(t, c, all())
	if k := s.Process.Capabilities; k == nil || len(k.Bounding)+len(k.Effective)+len(k.Permitted)+len(k.Inheritable)+len(k.Ambient) != 0 {
		t.Errorf("capabilities %+v, expected empty sets", k)
	}
	c.Capabilities = []string{"CAP_KILL"}
	s, _ = made(t, c, all())
	if k := s.Process.Capabilities; len(k.Bounding) != 1 || len(k.Effective) != 1 || len(k.Permitted) != 1 || len(k.Inheritable) != 1 || len(k.Ambient) != 1 {
		t.Errorf("capabilities %+v, expected one", k)
	}
}

// TestProgram: what the policy says wins over the image.
func TestProgram(t *testing.T) {
	c := valid()
	c.Image = oci.Config{Entrypoint: []string{"/e"}, Cmd: []string{"c"}, WorkingDir: "/srv/", Env: []string{"PATH=/image", "A=1=2"}}
	c.Root = t.TempDir()
	c.Command, c.Env = nil, map[string]string{"A": "3", "B": ""}
	s, _ := made(t, c, all())
	p := s.Process
	if strings.Join(p.Args, " ") != "/e c" || p.Cwd != "/srv" || strings.Join(p.Env, " ") != "A=3 B= PATH=/image" {
		t.Errorf("process %+v", p)
	}
	c.Command, c.WorkDir = []string{"/x"}, "/w"
	s, _ = made(t, c, all())
	if p = s.Process; strings.Join(p.Args, " ") != "/x" || p.Cwd != "/w" || len(c.Image.Entrypoint) != 1 {
		t.Errorf("process %+v", p)
	}
	for what, change := range map[string]func(*Config){
		"no command":               func(c *Config) { c.Command, c.Image.Entrypoint, c.Image.Cmd = nil, nil, nil },
		"an empty command":         func(c *Config) { c.Command = []string{""} },
		"a leaked folder":          func(c *Config) { c.WorkDir = "/proc/self/fd/7" },
		"a leaked one, hidden":     func(c *Config) { c.WorkDir = "/x/../proc/self/fd/7" },
		"a relative folder":        func(c *Config) { c.WorkDir = "x" },
		"a user that is not there": func(c *Config) { c.Image.User = "none" },
	} {
		bad := c
		bad.Root = t.TempDir()
		change(&bad)
		if s, _, err := bad.configuration(bundle{has: all()}); err == nil {
			t.Errorf("%s: %+v", what, s.Process)
		}
	}
}

// TestUser: an image's user, in the forms that images have.
func TestUser(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/:/none\nalso:x:0:5::/:/none\napp:x:1000:1001::/:/none\nshort:x:7\nhigh:x:70000:1::/:\nbadgroup:x:8:x::/:\ninroot:x:9:0::/:\n",
		"group":  "root:x:0:\nstaff:x:50:\nhigh:x:70000:\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for s, want := range map[string]User{
		"": nobody, "0": nobody, "root": nobody, "also": nobody, "0:50": nobody, "root:staff": nobody,
		"app": {1000, 1001}, "app:staff": {1000, 50}, "app:7": {1000, 7}, "1000": {1000, 1000}, "12:34": {12, 34}, "12:staff": {12, 50},
	} {
		c := valid()
		c.Root, c.Image.User = root, s
		got, note, err := c.user()
		if err != nil || got != want || (note != "") != (want == nobody) {
			t.Errorf("%q: %v, %q, %v, expected %v", s, got, note, err, want)
		}
	}
	for _, s := range []string{"none", "short", "high", "badgroup", "app:none", "app:high", "70000", "1:70000", "-1", ":", "app:", "app:root", "app:0", "1000:0", "inroot", "1:2:3", "app\n", strings.Repeat("9", 30)} {
		c := valid()
		c.Root, c.Image.User = root, s
		if got, _, err := c.user(); err == nil {
			t.Errorf("%q: %v, expected an error", s, got)
		}
	}
	c := valid()
	c.Root, c.Image.User, c.User = root, "none", &User{}
	if got, note, err := c.user(); err != nil || got != (User{}) || note != "" {
		t.Errorf("root in the policy: %v, %q, %v", got, note, err)
	}
	// A link out of the image is not followed.
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "passwd"), []byte("app:x:5:5::/:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	linked := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(linked, "etc")); err != nil {
		t.Skip("SKIP: no symbolic links here:", err)
	}
	c = valid()
	c.Root, c.Image.User = linked, "app"
	if got, _, err := c.user(); err == nil {
		t.Errorf("a user out of a file outside of the image: %v", got)
	}
}

// TestSeccomp: the list is what it says. What it does is shown by TestHostile.
func TestSeccomp(t *testing.T) {
	s := seccomp()
	if s.DefaultAction != specs.ActErrno || *s.DefaultErrnoRet != 1 || len(s.Architectures) != 1 {
		t.Errorf("default %s %d on %v, expected EPERM on one architecture", s.DefaultAction, *s.DefaultErrnoRet, s.Architectures)
	}
	seen := map[string]bool{}
	for _, name := range allowedCalls() {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, name := range []string{
		"keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "mount", "umount2", "ptrace", "process_vm_readv", "kexec_load",
		"unshare", "setns", "clone", "clone3", "io_uring_setup", "io_uring_enter", "socket", "socketpair", "mknod", "mknodat", "personality", "move_mount",
		"fsopen", "open_tree", "pivot_root", "init_module", "delete_module", "name_to_handle_at", "open_by_handle_at", "modify_ldt", "syslog", "vhangup", "kcmp",
	} {
		if seen[name] {
			t.Errorf("%s is allowed with any argument", name)
		}
	}
}
