package sandbox_test

import (
	"crypto/rand"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox"
)

// TestHostile has an app try everything that would get it out. Each row must be
// blocked, and for the reason that we think: an attempt that fails because it
// was made badly proves nothing.
func TestHostile(t *testing.T) {
	cfg := config(t)
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
	const eperm, enoent, eacces = "operation not permitted", "no such file", "permission denied"
	try(t, app, []row{
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

func try(t *testing.T, app *sandbox.App, rows []row) {
	for _, row := range rows {
		t.Run(row.what, func(t *testing.T) {
			got := get(t, app, "/try/"+row.try+"?with="+url.QueryEscape(row.with))
			if !strings.HasPrefix(got, "blocked: ") || !strings.Contains(got, row.because) || strings.Contains(got, "not tried") {
				t.Errorf("%s, expected blocked: ...%s", got, row.because)
			}
		})
	}
}

// TestHostileRoot gives the app all that a policy can give. Root inside is
// nobody outside: it gets its own files, and nothing else.
func TestHostileRoot(t *testing.T) {
	cfg := config(t)
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
	try(t, app, []row{
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
