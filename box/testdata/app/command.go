package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// command does what an operator asked for, if it is that.
func command(name string, args []string) bool {
	switch name {
	case "echo":
		io.Copy(os.Stdout, os.Stdin)
	case "say":
		fmt.Fprint(os.Stdout, args[0])
		fmt.Fprint(os.Stderr, args[1])
		code, _ := strconv.Atoi(args[2])
		os.Exit(code)
	case "flood":
		for line := make([]byte, 1<<16); ; {
			if _, err := os.Stdout.Write(line); err != nil {
				os.Exit(1)
			}
		}
	case "stay":
		// With a child in a session of its own that listens to nothing.
		child := exec.Command(os.Args[0], "stubborn")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		child.Start()
		fmt.Println("here")
		time.Sleep(time.Hour)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
		time.Sleep(time.Hour)
	case "reach":
		what, err := reach(args[0], args[1])
		if err != nil {
			fmt.Print("blocked: ", err)
			return true
		}
		fmt.Print("REACHED: ", what)
	case "terminal":
		fmt.Println(terminal())
		io.Copy(os.Stdout, os.Stdin)
	default:
		return false
	}
	return true
}

func reach(how, with string) (string, error) {
	switch how {
	case "dial":
		return dial(with)
	case "open":
		f, err := os.Open(with)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return with, nil
	case "processes":
		return processes(with)
	}
	return "", fmt.Errorf("no such attempt %q", how)
}

// terminal is what standard input is.
func terminal() string {
	size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(size.Row, " ", size.Col, " ", os.Getenv("TERM"))
}
