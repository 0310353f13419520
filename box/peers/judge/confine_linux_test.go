//go:build amd64 || arm64

package judge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/blindbox/blindbox/box/peers/wire"
)

// TestMain makes the test binary a process that gives up what it can do and tries
// it nevertheless.
func TestMain(m *testing.M) {
	switch os.Args[0] {
	case "confined":
		confined()
	case "waits":
		if err := confine(memoryLimit); err == nil {
			fmt.Println("confined")
			io.Copy(io.Discard, os.Stdin)
		}
	case "hungry":
		if err := confine(memoryLimit); err == nil {
			b := make([]byte, 2*memoryLimit)
			for i := range b {
				b[i] = 1
			}
			fmt.Println("had it", len(b))
		}
	case Name:
		Keep(os.Args)
	default:
		os.Exit(m.Run())
	}
}

// attempts are what a process that was taken over would like to do.
func attempts() map[string]func() error {
	return map[string]func() error{
		"read a file":   func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"write a file":  func() error { return os.WriteFile(os.DevNull, nil, 0o600) },
		"list a folder": func() error { _, err := os.ReadDir("/"); return err },
		"connect":       func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return err },
		"connect unix":  func() error { _, err := net.Dial("unix", "/x"); return err },
		"send":          func() error { _, err := net.Dial("udp", "127.0.0.1:1"); return err },
		"start":         func() error { return exec.Command("/bin/true").Run() },
		"become":        func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"fork": func() error {
			_, _, errno := syscall.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
			return number(errno)
		},
		"signal others":  func() error { return syscall.Kill(os.Getppid(), 0) },
		"interrupt them": func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
		"trace":          func() error { return unix.PtraceAttach(os.Getppid()) },
		"look into them": func() error { _, err := unix.ProcessVMReadv(os.Getppid(), nil, nil, 0); return err },
		"mount":          func() error { return unix.Mount("x", "/", "tmpfs", 0, "") },
		"leave":          func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"become root":    func() error { return unix.Setresuid(0, 0, 0) },
		"more limits":    func() error { return unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1000, Max: 1000}) },
		"load code":      func() error { _, _, errno := syscall.RawSyscall(unix.SYS_BPF, 0, 0, 0); return number(errno) },
		"run memory": func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		},
		"make memory run": func() error {
			page, err := unix.Mmap(-1, 0, 4096, unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				return nil
			}
			return unix.Mprotect(page, unix.PROT_EXEC)
		},
		"hand over files": func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
	}
}

func number(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func confined() {
	// Threads that are there already get the filter as well.
	there := make(chan struct{})
	for range 4 {
		go func() {
			runtime.LockOSThread()
			there <- struct{}{}
			select {}
		}()
		<-there
	}
	if err := confine(0); err != nil {
		fmt.Println("confine:", err)
		os.Exit(1)
	}
	for name, try := range attempts() {
		if err := try(); !errors.Is(err, unix.EPERM) {
			fmt.Printf("%s: %v\n", name, err)
		}
	}
	// What a verifier needs goes on: threads, memory, time.
	done := make(chan int)
	for i := range 8 {
		go func() { runtime.LockOSThread(); b := make([]byte, 8<<20); b[len(b)-1] = byte(i); done <- len(b) }()
	}
	for range 8 {
		<-done
	}
	runtime.GC()
	time.Sleep(time.Millisecond)
	fmt.Println("end")
}

// TestConfined: after confine the process can do nothing but compute, and read and
// write what was open.
func TestConfined(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args, cmd.Env = []string{"confined"}, []string{}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s := bufio.NewScanner(out); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if err := cmd.Wait(); err != nil || len(lines) == 0 || lines[len(lines)-1] != "end" {
		t.Fatalf("%v: %s", err, strings.Join(lines, "\n"))
	}
	for _, l := range lines[:len(lines)-1] {
		t.Errorf("it may %s", l)
	}
}

// TestLimits: what the kernel says of a process that has confined itself.
func TestLimits(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args, cmd.Env = []string{"waits"}, []string{}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "confined\n" {
		t.Fatalf("%q, %v", line, err)
	}
	var known string
	for _, name := range []string{"limits", "status"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		known += strings.Join(strings.FieldsFunc(string(text), func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"Max cpu time 10 10 seconds", "Max file size 0 0 bytes", "Max data size 536870912 536870912 bytes", "Max core file size 0 0 bytes",
		"Max open files 16 16 files", "Max locked memory 0 0 bytes", "Max msgqueue size 0 0 bytes", "NoNewPrivs: 1\n", "Seccomp: 2\n",
	} {
		if !strings.Contains(known, want) {
			t.Errorf("%s\nlacks %q", known, want)
		}
	}
	hungry := exec.CommandContext(t.Context(), self)
	hungry.Args, hungry.Env = []string{"hungry"}, []string{}
	if out, err := hungry.Output(); err == nil || len(out) != 0 {
		t.Errorf("a process had more memory than it may: %s", out)
	}
}

// TestNotDumpable: others of the same account can neither read nor change the process;
// what the kernel shows of it is root's then (proc(5)).
func TestNotDumpable(t *testing.T) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3")
	cmd.Args, cmd.Env, cmd.ExtraFiles, cmd.Dir = []string{"waits"}, []string{}, []*os.File{self}, "/"
	who := uint32(os.Geteuid())
	if who == 0 {
		who = 64210
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who, Gid: who}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "confined\n" {
		t.Fatalf("%q, %v", line, err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid), &st); err != nil || st.Uid != 0 {
		t.Errorf("its memory is that of user %d, %v, expected root; it runs as %d", st.Uid, err, who)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestFilter: what the kernel makes of each call, those of another architecture with
// the same numbers above all: 5 is fstat here and open there.
func TestFilter(t *testing.T) {
	const deny = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	for _, n := range append(calls(), archCalls()...) {
		if got := decides(t, auditArch, n, 0, 0); got != unix.SECCOMP_RET_ALLOW {
			t.Errorf("call %d: %#x", n, got)
		}
		for _, other := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, auditArch ^ 1} {
			if got := decides(t, other, n, 0, 0); got != unix.SECCOMP_RET_KILL_PROCESS {
				t.Errorf("call %d of the architecture %#x: %#x", n, other, got)
			}
		}
		const x32 = 0x40000000
		if got := decides(t, auditArch, n|x32, 0, 0); got != deny {
			t.Errorf("call %d of x32: %#x", n, got)
		}
	}
	for _, row := range []struct{ call, first, third, want uint32 }{
		{unix.SYS_CLONE3, 0, 0, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{unix.SYS_CLONE, unix.CLONE_THREAD | unix.CLONE_VM, 0, unix.SECCOMP_RET_ALLOW},
		{unix.SYS_CLONE, unix.CLONE_VM, 0, deny},
		{unix.SYS_MMAP, 0, unix.PROT_WRITE, unix.SECCOMP_RET_ALLOW},
		{unix.SYS_MMAP, 0, unix.PROT_EXEC, deny},
		{unix.SYS_MPROTECT, 0, unix.PROT_READ, unix.SECCOMP_RET_ALLOW},
		{unix.SYS_MPROTECT, 0, unix.PROT_READ | unix.PROT_EXEC, deny},
		{unix.SYS_TGKILL, uint32(os.Getpid()), 0, unix.SECCOMP_RET_ALLOW},
		{unix.SYS_TGKILL, uint32(os.Getppid()), 0, deny},
		{unix.SYS_OPENAT, 0, 0, deny}, {unix.SYS_SOCKET, 0, 0, deny}, {unix.SYS_EXECVE, 0, 0, deny}, {unix.SYS_PRCTL, 0, 0, deny},
	} {
		if got := decides(t, auditArch, row.call, row.first, row.third); got != row.want {
			t.Errorf("call %d with %#x and %#x: %#x, expected %#x", row.call, row.first, row.third, got, row.want)
		}
	}
}

// decides runs the filter, as far as it uses the language of filters (bpf(4)).
func decides(t *testing.T, arch, call, first, third uint32) uint32 {
	t.Helper()
	data := map[uint32]uint32{offsetNumber: call, offsetArch: arch, offsetFirst: first, offsetThird: third}
	code, a := program(), uint32(0)
	for i := 0; i < len(code); i++ {
		c, taken := code[i], false
		switch c.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[c.K]
			continue
		case unix.BPF_RET | unix.BPF_K:
			return c.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = a == c.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			taken = a&c.K != 0
		default:
			t.Fatalf("instruction %#x", c.Code)
		}
		if taken {
			i += int(c.Jt)
		} else {
			i += int(c.Jf)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

// TestMain's process that is called as the program is does what the program does.
func TestKeep(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	q := newCaller(t).asks(t)
	var in, out bytes.Buffer
	if err := wire.WriteQuestion(&in, q); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = []string{Name}, []string{}, &in, &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := wire.ReadReady(&out); err != nil {
		t.Fatal(err)
	}
	if a, err := wire.ReadAnswer(&out, len(q.References)); err != nil || !a.Accepted {
		t.Errorf("%+v, %v", a, err)
	}
}
