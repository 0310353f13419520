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
