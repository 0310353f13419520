//go:build amd64 || arm64

package judge

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain makes the test binary a process that gives up what it can do and tries
// it nevertheless.
func TestMain(m *testing.M) {
	switch os.Args[0] {
	case "confined":
		confined()
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
