// Command hostile is an app that tries to get out of the box. It serves HTTP at
// the address in LISTEN; /try/NAME makes one attempt and answers what came of it:
// "blocked: REASON" or "REACHED: WHAT".
package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 {
		child(os.Args[1])
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	network, at := "tcp", os.Getenv("LISTEN")
	if p, ok := strings.CutPrefix(at, "unix:"); ok {
		network, at = "unix", p
	}
	l, err := net.Listen(network, at)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile: cannot listen:", err)
		os.Exit(3)
	}
	fmt.Println("hostile: listening")
	go http.Serve(l, handler())
	<-stop
	fmt.Println("hostile: asked to stop")
}

func child(how string) {
	switch how {
	case "beside":
		beside(os.Args[2], os.Args[3:])
	case "sleep":
		time.Sleep(time.Hour)
	case "ignore":
		signal.Ignore(syscall.SIGTERM)
		l, err := net.Listen("tcp", os.Getenv("LISTEN"))
		if err != nil {
			os.Exit(3)
		}
		http.Serve(l, handler())
	case "exit":
		os.Exit(7)
	}
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") })
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Join(os.Environ(), "\n")) })
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(r.URL.Query().Get("file"))
		if err != nil {
			fmt.Fprint(w, err)
			return
		}
		w.Write(b)
	})
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprintln(w, os.Getpid(), os.Getuid(), os.Getgid(), host)
	})
	mux.HandleFunc("/self", func(w http.ResponseWriter, _ *http.Request) { self(w) })
	mux.HandleFunc("/orphan", func(w http.ResponseWriter, _ *http.Request) {
		cmd := exec.Command(os.Args[0], "sleep")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		fmt.Fprint(w, cmd.Start())
	})
	mux.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(9) })
	mux.HandleFunc("/flood", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("bytes"))
		line := bytes.Repeat([]byte("x"), 1<<16)
		for ; n > 0; n -= len(line) {
			os.Stdout.Write(line)
		}
		io.WriteString(w, "flooded")
	})
	mux.HandleFunc("/memory", func(http.ResponseWriter, *http.Request) {
		var all [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := range len(b) / 4096 {
				b[i*4096] = 1
			}
			all = append(all, b)
			runtime.KeepAlive(all)
		}
	})
	mux.HandleFunc("/try/{name}", func(w http.ResponseWriter, r *http.Request) {
		f, ok := attempts()[r.PathValue("name")]
		if !ok {
			http.Error(w, "no such attempt", http.StatusNotFound)
			return
		}
		reached, err := f(r.URL.Query().Get("with"))
		if err != nil {
			fmt.Fprintf(w, "blocked: %v", err)
			return
		}
		fmt.Fprintf(w, "REACHED: %s", reached)
	})
	return mux
}

type attempt func(with string) (string, error)

func attempts() map[string]attempt {
	return map[string]attempt{
		"open":    open,
		"write":   write,
		"listing": listing,
		"process": otherProcess,
		"environ": otherEnviron,
		"ptrace": func(string) (string, error) {
			return raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid()), 0, 0)
		},
		"traceme":   func(string) (string, error) { return raw(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0, 0) },
		"vm_readv":  vmReadv,
		"vm_writev": func(string) (string, error) { return raw(unix.SYS_PROCESS_VM_WRITEV, 1, 0, 0, 0, 0, 0) },
		"mount":     func(string) (string, error) { return "mounted", unix.Mount("tmpfs", "/proc", "tmpfs", 0, "") },
		"remount": func(string) (string, error) {
			return "remounted", unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
		},
		"umount":    func(string) (string, error) { return "unmounted", unix.Unmount("/dev", unix.MNT_DETACH) },
		"fsopen":    func(string) (string, error) { return fd(unix.Fsopen("tmpfs", 0)) },
		"open_tree": func(string) (string, error) { return raw(unix.SYS_OPEN_TREE, ^uintptr(99), ptr("/"), 1) },
		"pivot":     func(string) (string, error) { return "pivoted", unix.PivotRoot("/", "/") },
		"setns":     setns,
		"unshare":   unshare,
		"clone":     cloneUser,
		"clone3":    clone3,
		"mknod":     mknod,
		"module":    func(string) (string, error) { return raw(unix.SYS_FINIT_MODULE, 0, ptr(""), 0) },
		"init_mod":  func(string) (string, error) { return raw(unix.SYS_INIT_MODULE, 0, 0, ptr("")) },
		"kexec":     func(string) (string, error) { return raw(unix.SYS_KEXEC_FILE_LOAD, 0, 0, 0, 0, 0) },
		"reboot":    func(string) (string, error) { return "rebooted", unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) },
		"keyctl":    func(string) (string, error) { return raw(unix.SYS_KEYCTL, 0, ^uintptr(3), 0) },
		"add_key": func(string) (string, error) {
			return raw(unix.SYS_ADD_KEY, ptr("user"), ptr("a"), ptr("b"), 1, ^uintptr(3))
		},
		"req_key":   func(string) (string, error) { return raw(unix.SYS_REQUEST_KEY, ptr("user"), ptr("a"), 0, 0) },
		"bpf":       func(string) (string, error) { return raw(unix.SYS_BPF, 0, 0, 0) },
		"perf":      func(string) (string, error) { return raw(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0) },
		"uffd":      func(string) (string, error) { return raw(unix.SYS_USERFAULTFD, 1) },
		"io_uring":  func(string) (string, error) { return raw(unix.SYS_IO_URING_SETUP, 1, 0) },
		"uring_reg": func(string) (string, error) { return raw(unix.SYS_IO_URING_REGISTER, 0, 0, 0, 0) },
		"handle":    func(string) (string, error) { return raw(unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, 0) },
		"pidfd_get": func(string) (string, error) { return raw(unix.SYS_PIDFD_GETFD, 0, 0, 0) },
		"kcmp":      func(string) (string, error) { return raw(unix.SYS_KCMP, 1, 1, 0, 0, 0) },
		"quotactl":  func(string) (string, error) { return raw(unix.SYS_QUOTACTL, 0, 0, 0, 0) },
		"swapon":    func(string) (string, error) { return raw(unix.SYS_SWAPON, ptr("/tmp"), 0) },
		"settime":   func(string) (string, error) { return "set", unix.Settimeofday(&unix.Timeval{Sec: 1}) },
		"hostname":  func(string) (string, error) { return "set", unix.Sethostname([]byte("evil")) },
		"syslog":    func(string) (string, error) { return raw(unix.SYS_SYSLOG, 10, 0, 0) },
		"acct":      func(string) (string, error) { return raw(unix.SYS_ACCT, 0) },
		"socket":    socket,
		"dial":      dial,
		"setuid":    func(string) (string, error) { return "root", syscall.Setuid(0) },
		"cap":       capabilities,
		"core":      core,
		"fill":      fill,
		"inodes":    inodes,
		"forks":     forks,
		"files":     files,
		"exec_tmp":  execTmp,
		"signal":    func(string) (string, error) { return "sent", unix.Kill(-1, 0) },
		"priority":  func(string) (string, error) { return "raised", unix.Setpriority(unix.PRIO_PROCESS, 0, -10) },
		"tty":       func(string) (string, error) { return open("/dev/tty") },
		"oom": func(string) (string, error) {
			return "spared", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
		},
		"symlink": socketLink,
		"ns_net":  func(string) (string, error) { return ifaces() },
	}
}

func ptr(s string) uintptr {
	p, _ := unix.BytePtrFromString(s)
	return uintptr(unsafe.Pointer(p))
}

func raw(call uintptr, args ...uintptr) (string, error) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := syscall.Syscall6(call, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return "", errno
	}
	return fmt.Sprint(r), nil
}

func fd(n int, err error) (string, error) { return fmt.Sprint(n), err }

func open(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := f.Read(b)
	if n == 0 && err != nil {
		return "", fmt.Errorf("nothing to read: %w", err)
	}
	return hex.EncodeToString(b[:n]), nil
}

func write(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = f.WriteString("1\n")
	return name, err
}

func listing(pattern string) (string, error) {
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		return "", errors.New("nothing there")
	}
	return strings.Join(found, " "), nil
}

// otherProcess looks for a process that is not one of ours.
func otherProcess(string) (string, error) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		b, _ := os.ReadFile(name)
		if s := string(b); s != "" && !strings.Contains(s, "(hostile)") && !strings.Contains(s, "(exe)") {
			return s[:min(len(s), 60)], nil
		}
	}
	return "", fmt.Errorf("%d processes, all ours", len(all))
}

func otherEnviron(secret string) (string, error) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range all {
		b, _ := os.ReadFile(name)
		if bytes.Contains(b, []byte(secret)) {
			return name, nil
		}
	}
	return "", errors.New("nowhere")
}

func vmReadv(string) (string, error) {
	b := make([]byte, 8)
	local := unix.Iovec{Base: &b[0], Len: 8}
	return fd(unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&b[0])), Len: 8}}, 0))
}

func setns(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return "entered " + name, unix.Setns(int(f.Fd()), 0)
}

func unshare(with string) (string, error) {
	flags, err := strconv.ParseInt(with, 0, 64)
	if err != nil {
		return "", err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return "unshared", unix.Unshare(int(flags))
}

func cloneUser(string) (string, error) {
	cmd := exec.Command("/proc/self/exe", "exit")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	return "cloned", cmd.Start()
}

func clone3(string) (string, error) {
	args := [11]uint64{unix.CLONE_NEWUSER}
	return raw(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), 88)
}

func mknod(at string) (string, error) {
	if err := unix.Mknod(at, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))); err != nil {
		return "", err
	}
	return open(at)
}

// socket opens one of a family, type and protocol: "17,3,0".
func socket(with string) (string, error) {
	var family, kind, protocol int
	if _, err := fmt.Sscanf(with, "%d,%d,%d", &family, &kind, &protocol); err != nil {
		return "", fmt.Errorf("not tried: %w", err)
	}
	return fd(unix.Socket(family, kind, protocol))
}

func dial(with string) (string, error) {
	network, at, _ := strings.Cut(with, ",")
	c, err := net.DialTimeout(network, at, time.Second)
	if err != nil {
		return "", err
	}
	return c.RemoteAddr().String(), c.Close()
}

// capabilities reports any capability in any set.
func capabilities(string) (string, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(name, "Cap") && strings.Trim(value, "\t 0") != "" {
			return line, nil
		}
		if name == "NoNewPrivs" && strings.TrimSpace(value) != "1" || name == "Seccomp" && strings.TrimSpace(value) != "2" {
			return line, nil
		}
	}
	return "", errors.New("none in any set")
}

func core(string) (string, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &lim); err != nil || lim.Max != 0 {
		return fmt.Sprint(lim), err
	}
	return "raised", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
}

// fill writes to a folder until it cannot: "/tmp,8388608" succeeds only if more
// than so many bytes fit.
func fill(with string) (string, error) {
	dir, text, _ := strings.Cut(with, ",")
	quota, err := strconv.Atoi(text)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "filler")
	defer os.Remove(name)
	f, err := os.Create(name)
	if err != nil {
		return "", fmt.Errorf("not tried: %w", err)
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for n := 0; n <= 2*quota; n += len(block) {
		if _, err := f.Write(block); err != nil {
			if n < quota/2 || n > quota {
				return fmt.Sprintf("quota of %d bytes", n), nil
			}
			return "", err
		}
	}
	return fmt.Sprintf("%d bytes", 2*quota), nil
}

func inodes(with string) (string, error) {
	dir, text, _ := strings.Cut(with, ",")
	most, err := strconv.Atoi(text)
	if err != nil {
		return "", err
	}
	for i := range most + 1 {
		name := filepath.Join(dir, fmt.Sprint("inode", i))
		f, err := os.Create(name)
		if err != nil {
			return "", fmt.Errorf("after %d: %w", i, err)
		}
		defer os.Remove(name)
		f.Close()
	}
	return "all", nil
}

// forks starts processes until it cannot.
func forks(with string) (string, error) {
	most, err := strconv.Atoi(with)
	if err != nil {
		return "", err
	}
	var all []*exec.Cmd
	defer func() {
		for _, c := range all {
			c.Process.Kill()
			c.Wait()
		}
	}()
	for range most {
		cmd := exec.Command(os.Args[0], "sleep")
		if err := cmd.Start(); err != nil {
			return "", fmt.Errorf("after %d: %w", len(all), err)
		}
		all = append(all, cmd)
	}
	return fmt.Sprint(most, " processes"), nil
}

func files(with string) (string, error) {
	most, err := strconv.Atoi(with)
	if err != nil {
		return "", err
	}
	var all []*os.File
	defer func() {
		for _, f := range all {
			f.Close()
		}
	}()
	for range most {
		f, err := os.Open("/dev/null")
		if err != nil {
			return "", err
		}
		all = append(all, f)
	}
	return fmt.Sprint(most, " files"), nil
}

func execTmp(dir string) (string, error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("not tried: %w", err)
	}
	name := filepath.Join(dir, "program")
	defer os.Remove(name)
	if err := os.WriteFile(name, self[:min(len(self), 4096)], 0o755); err != nil {
		return "", fmt.Errorf("not tried: %w", err)
	}
	err = exec.Command(name).Start()
	if !errors.Is(err, fsPermission) {
		return fmt.Sprint("tried: ", err), nil
	}
	return "", err
}

const fsPermission = syscall.EACCES

// socketLink puts a link where the box looks for our socket.
func socketLink(with string) (string, error) {
	at, target, _ := strings.Cut(with, ",")
	if err := os.Remove(at); err != nil {
		return "", fmt.Errorf("not tried: %w", err)
	}
	return "linked", os.Symlink(target, at)
}

func ifaces() (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if i.Name != "lo" {
			return i.Name, nil
		}
	}
	return "", fmt.Errorf("%d interface, loopback", len(all))
}
