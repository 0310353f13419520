package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// beside is what a command beside the app does.
func beside(what string, with []string) {
	switch what {
	case "echo":
		io.Copy(os.Stdout, os.Stdin)
	case "say":
		fmt.Fprint(os.Stdout, with[0])
		fmt.Fprint(os.Stderr, with[1])
		code, _ := strconv.Atoi(with[2])
		os.Exit(code)
	case "flood":
		for line := make([]byte, 1<<16); ; {
			if _, err := os.Stdout.Write(line); err != nil {
				os.Exit(1)
			}
		}
	case "leave":
		// Something that outlives the command, in a session of its own, and does not
		// listen to what it is told.
		cmd := exec.Command(os.Args[0], "beside", "stubborn")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		fmt.Println(cmd.Start() == nil)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
		fmt.Println("here")
		time.Sleep(time.Hour)
	case "children":
		for range 3 {
			cmd := exec.Command(os.Args[0], "beside", "stubborn")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			cmd.Start()
		}
		fmt.Println("here")
		time.Sleep(time.Hour)
	case "self":
		self(os.Stdout)
	case "terminal":
		size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = os.Open("/dev/tty")
		fmt.Println(size.Row, size.Col, os.Getenv("TERM"), err)
	case "resized":
		changed := make(chan os.Signal, 1)
		signal.Notify(changed, syscall.SIGWINCH)
		fmt.Println("ready")
		<-changed
		size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		fmt.Println(size.Row, size.Col, err)
	case "try":
		reached, err := attempts()[with[0]](with[1])
		if err != nil {
			fmt.Printf("blocked: %v", err)
			return
		}
		fmt.Printf("REACHED: %s", reached)
	}
}

// self says who we are, in the words of the kernel.
func self(w io.Writer) {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	fmt.Fprintln(w, "host", host, "dir", dir)
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"}, name) {
			fmt.Fprint(w, line)
		}
	}
	for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		link, _ := os.Readlink("/proc/self/ns/" + ns)
		fmt.Fprintln(w, link)
	}
	for _, file := range []string{"/proc/self/oom_score_adj", "/proc/self/limits"} {
		text, _ := os.ReadFile(file)
		fmt.Fprint(w, string(text))
	}
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		if strings.Contains(line, ":memory:") || strings.HasPrefix(line, "0::") {
			fmt.Fprint(w, line)
		}
	}
}
