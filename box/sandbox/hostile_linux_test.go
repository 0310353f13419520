package sandbox_test

import (
	"crypto/rand"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox"
)

// TestHostile has an app try everything that would get it out. Each row must be
// blocked, and for the reason that we think: an attempt that fails because it
// was made badly proves nothing.
func TestHostile(t *testing.T) { underBoth(t, hostileApp) }

func hostileApp(t *testing.T, cfg sandbox.Config) {
	cfg.Files = sandbox.Files{Tmp: 8 << 20, Writable: []sandbox.Writable{{Path: "/var/lib/app", Size: 1 << 20}}}
	// What the app must not reach: another process and its environment, a file,
	// and whoever listens.
	const secret = "of-the-box-alone-5d1f"
	other := exec.Command("sleep", "1000")
	other.Env = []string{"BOX_SECRET=" + secret}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		other.Process.Kill()
		other.Wait()
	})
	gate := listening(t, "tcp", "127.0.0.1:0")
	abstract := listening(t, "unix", "@blindbox-test-"+strings.ToLower(rand.Text()))
	socket := listening(t, "unix", filepath.Join(t.TempDir(), "box.sock"))
	outside := filepath.Join(cfg.Dir, "outside")
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	app := started(t, cfg)
	gVisorHas := map[string]string{
		// Devices of gVisor's own, which lead nowhere: no file system is mounted, no
		// tunnel and no terminal connected.
		"fuse":                 "blocked: nothing to read: read /dev/fuse: operation not permitted",
		"network tunnel":       "blocked: nothing to read: read /dev/net/tun: file descriptor in bad state",
		"terminal multiplexer": "blocked: nothing to read: read /dev/ptmx: input/output error",
		// Files that there are no masks for, because they are not there.
		"keys through /proc": "blocked: open /proc/keys: no such file",
		"kernel symbols":     "blocked: open /proc/kallsyms: no such file",
		// They are bounded with all other memory.
		"fill /tmp with empty files": "REACHED: all",
		// Numbers that gVisor keeps; nothing on the machine changes (unspared).
		"higher priority":                       "REACHED: raised",
		"be spared by the out-of-memory killer": "REACHED: spared",
	}
	const eperm, enoent, eacces = "operation not permitted", "no such file", "permission denied"
	try(t, app, differing(cfg, gVisorHas), []row{
		{"evidence of SEV-SNP", "open", "/dev/sev-guest", enoent},
		{"evidence of TDX", "open", "/dev/tdx_guest", enoent},
		{"evidence of Nitro", "open", "/dev/nsm", enoent},
		{"TPM", "listing", "/dev/tpm*", "nothing there"},
		{"GPU", "listing", "/dev/nvidia*", "nothing there"},
		{"disk", "listing", "/dev/[hsvn][dvm]*", "nothing there"},
		{"memory of the machine", "open", "/dev/mem", enoent},
		{"kernel log", "open", "/dev/kmsg", enoent},
		{"fuse", "open", "/dev/fuse", enoent},
		{"KVM", "open", "/dev/kvm", enoent},
		{"network tunnel", "open", "/dev/net/tun", enoent},
		{"vsock device", "open", "/dev/vsock", enoent},
		{"terminal", "open", "/dev/tty", "no such device"},
		{"terminal multiplexer", "open", "/dev/ptmx", enoent},
		{"configfs", "listing", "/sys/kernel/config/*", "nothing there"},
		{"sysfs", "listing", "/sys/*", "nothing there"},
		{"cgroups", "listing", "/sys/fs/cgroup/*", "nothing there"},
		{"debugfs", "open", "/sys/kernel/debug", enoent},
		{"the box's files", "open", outside, enoent},
		{"the box's image store", "listing", "/dev/shm/*", "nothing there"},
		{"processes outside", "process", "", "all ours"},
		{"environment outside", "environ", secret, "nowhere"},
		{"root of init", "listing", "/proc/1/root/work", "nothing there"},
		{"a file of root's in the image", "open", "/root-only", eacces},
		{"physical memory through /proc", "open", "/proc/kcore", "" /* masked, or the kernel has none */},
		{"keys through /proc", "open", "/proc/keys", "nothing to read"},
		{"kernel symbols", "open", "/proc/kallsyms", "nothing to read"},
		{"system request", "write", "/proc/sysrq-trigger", "" /* masked: the bytes go nowhere, or no permission */},
		{"kernel settings", "write", "/proc/sys/kernel/core_pattern", eacces},
		{"network settings", "write", "/proc/sys/net/ipv4/ip_forward", eacces},
		{"ptrace of the parent", "ptrace", "", eperm},
		{"ptrace at all", "traceme", "", eperm},
		{"process_vm_readv", "vm_readv", "", eperm},
		{"process_vm_writev", "vm_writev", "", eperm},
		{"mount", "mount", "", eperm},
		{"remount writable", "remount", "", eperm},
		{"unmount", "umount", "", eperm},
		{"fsopen", "fsopen", "", eperm},
		{"open_tree", "open_tree", "", eperm},
		{"pivot_root", "pivot", "", eperm},
		{"setns", "setns", "/proc/self/ns/net", eperm},
		{"user namespace", "unshare", "0x10000000", eperm},
		{"mount namespace", "unshare", "0x20000", eperm},
		{"network namespace", "unshare", "0x40000000", eperm},
		{"time namespace", "unshare", "0x80", eperm},
		{"clone with a user namespace", "clone", "", eperm},
		{"clone3", "clone3", "", "function not implemented"},
		{"mknod", "mknod", "/tmp/mem", eperm},
		{"finit_module", "module", "", eperm},
		{"init_module", "init_mod", "", eperm},
		{"kexec", "kexec", "", eperm},
		{"reboot", "reboot", "", eperm},
		{"keyctl", "keyctl", "", eperm},
		{"add_key", "add_key", "", eperm},
		{"request_key", "req_key", "", eperm},
		{"bpf", "bpf", "", eperm},
		{"perf_event_open", "perf", "", eperm},
		{"userfaultfd", "uffd", "", eperm},
		{"io_uring", "io_uring", "", eperm},
		{"io_uring_register", "uring_reg", "", eperm},
		{"open_by_handle_at", "handle", "", eperm},
		{"pidfd_getfd", "pidfd_get", "", eperm},
		{"kcmp", "kcmp", "", eperm},
		{"quotactl", "quotactl", "", eperm},
		{"swapon", "swapon", "", eperm},
		{"clock", "settime", "", eperm},
		{"host name", "hostname", "", eperm},
		{"kernel log by call", "syslog", "", eperm},
		{"accounting", "acct", "", eperm},
		{"packet socket", "socket", "17,3,768", eperm},
		{"raw socket", "socket", "2,3,1", eperm},
		{"raw IPv6 socket", "socket", "10,3,58", eperm},
		{"ICMP socket", "socket", "2,2,1", eperm},
		{"SCTP", "socket", "2,1,132", eperm},
		{"vsock", "socket", "40,1,0", eperm},
		{"kernel crypto", "socket", "38,5,0", eperm},
		{"netfilter netlink", "socket", "16,3,12", eperm},
		{"audit netlink", "socket", "16,3,9", eperm},
		{"bluetooth", "socket", "31,3,0", eperm},
		{"xdp", "socket", "44,3,0", eperm},
		{"another machine", "dial", "tcp,192.0.2.1:80", "network is unreachable"},
		{"another machine by IPv6", "dial", "tcp,[2001:db8::1]:80", "" /* unreachable, or no IPv6 at all */},
		{"UDP", "dial", "udp,192.0.2.1:53", "network is unreachable"},
		{"name service", "dial", "tcp,example.invalid:80", "lookup"},
		{"a port of the box", "dial", "tcp," + gate, "connection refused"},
		{"a local socket of the box", "dial", "unix," + socket, enoent},
		{"an abstract socket of the box", "dial", "unix," + abstract, "connection refused"},
		{"interfaces", "ns_net", "", "loopback"},
		{"become root", "setuid", "", eperm},
		{"capabilities", "cap", "", "none in any set"},
		{"core dumps", "core", "", eperm},
		{"write to the root", "write", "/new", ""},
		{"write to a file of the image", "write", "/etc/passwd", ""},
		{"write to /dev", "write", "/dev/new", ""},
		{"fill /tmp", "fill", "/tmp,8388608", "no space left"},
		{"fill a writable folder", "fill", "/var/lib/app,1048576", "no space left"},
		{"fill shared memory", "fill", "/dev/shm,67108864", "no space left"},
		{"fill /tmp with empty files", "inodes", "/tmp,2048", "no space left"},
		{"run what was written", "exec_tmp", "/tmp", eacces},
		{"fork without end", "forks", "80", "resource temporarily unavailable"},
		{"open files without end", "files", "300", "too many open files"},
		{"higher priority", "priority", "", eacces},
		{"be spared by the out-of-memory killer", "oom", "", eacces},
	})
	unspared(t, cfg)
	if got := get(t, app, "/"); got != "here" {
		t.Errorf("after all of this the app answers %q", got)
	}
}

// listening listens for connections that must not come.
func listening(t *testing.T, network, at string) string {
	t.Helper()
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
			t.Errorf("the app reached %s %s", network, at)
		}
	}()
	return l.Addr().String()
}

// row is an attempt, and a part of what the kernel says to it.
type row struct{ what, try, with, because string }

// differing are the answers under gVisor that are others than those of the
// machine's kernel.
func differing(cfg sandbox.Config, answers map[string]string) map[string]string {
	if !cfg.GVisor {
		return nil
	}
	return answers
}

func try(t *testing.T, app *sandbox.App, differ map[string]string, rows []row) {
	for _, row := range rows {
		t.Run(row.what, func(t *testing.T) {
			got := get(t, app, "/try/"+row.try+"?with="+url.QueryEscape(row.with))
			if want, other := differ[row.what]; other {
				if !strings.HasPrefix(got, want) {
					t.Errorf("%s, expected %s", got, want)
				}
				return
			}
			if !strings.HasPrefix(got, "blocked: ") || !strings.Contains(got, row.because) || strings.Contains(got, "not tried") {
				t.Errorf("%s, expected blocked: ...%s", got, row.because)
			}
		})
	}
}

// TestHostileRoot gives the app all that a policy can give. Root inside is
// nobody outside: it gets its own files, and nothing else.
func TestHostileRoot(t *testing.T) { underBoth(t, hostileRoot) }

func hostileRoot(t *testing.T, cfg sandbox.Config) {
	cfg.User = &sandbox.User{}
	cfg.Capabilities = sandbox.GrantableCapabilities()
	app := started(t, cfg)
	if got, want := get(t, app, "/pid"), "1 0 0 hostile"; got != want {
		t.Errorf("pid, uid, gid, host name %q, expected %q", got, want)
	}
	if got := get(t, app, "/read?file=/root-only"); got != "the image's own secret" {
		t.Errorf("root reads %q", got)
	}
	const eperm, erofs = "operation not permitted", "read-only file system"
	gVisorHas := map[string]string{
		"kernel settings": "blocked: open /proc/sys/kernel/core_pattern: operation not permitted",
		// Those of gVisor's own network, which leads to the same wire.
		"network settings":                      "REACHED: /proc/sys/net/ipv4/ip_forward",
		"be spared by the out-of-memory killer": "REACHED: spared",
	}
	try(t, app, differing(cfg, gVisorHas), []row{
		{"kernel settings", "write", "/proc/sys/kernel/core_pattern", "permission denied"},
		{"network settings", "write", "/proc/sys/net/ipv4/ip_forward", "permission denied"},
		{"write to the root", "write", "/new", erofs},
		{"write to a file of the image", "write", "/etc/passwd", erofs},
		{"device node", "mknod", "/dev/shm/mem", eperm},
		{"mount", "mount", "", eperm},
		{"remount writable", "remount", "", eperm},
		{"setns", "setns", "/proc/self/ns/net", eperm},
		{"user namespace", "unshare", "0x10000000", eperm},
		{"raw socket", "socket", "2,3,1", eperm},
		{"interfaces", "ns_net", "", "loopback"},
		{"module", "module", "", eperm},
		{"host name", "hostname", "", eperm},
		{"be spared by the out-of-memory killer", "oom", "", "permission denied"},
	})
}

// unspared checks how the machine sees the processes of an app: the kernel ends
// them before the box, and none has a higher priority than others (proc(5)).
func unspared(t *testing.T, cfg sandbox.Config) {
	t.Helper()
	ids, err := filepath.Glob(filepath.Join(cfg.Dir, "run-*", "id"))
	if err != nil || len(ids) != 1 {
		t.Fatalf("runs %v, %v", ids, err)
	}
	id, err := os.ReadFile(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	all := processes(t, string(id))
	if len(all) == 0 {
		t.Error("no process in the app's cgroup")
	}
	for _, pid := range all {
		score, err := os.ReadFile("/proc/" + pid + "/oom_score_adj")
		if err != nil {
			continue // it has ended
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(score))); err != nil || n < 500 {
			t.Errorf("process %s has the score %s, expected 500 or more", pid, score)
		}
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); err == nil && (len(fields) < 17 || strings.HasPrefix(fields[16], "-")) {
			t.Errorf("process %s: %s, expected a nice value of 0 or more in field 19", pid, stat)
		}
	}
}
