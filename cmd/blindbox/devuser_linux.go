package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Without root the program starts itself again as root of a user namespace, in which
// it is allowed what a container takes: namespaces, mounts of its own, a network with
// rules. What root of a namespace is not allowed is users besides the developer's own,
// and cgroups; so the app is the developer's own user, and what it takes is not
// bounded. All of it is said in the banner.

// inUserNamespace reports whether root here is root of a user namespace only.
func inUserNamespace() bool {
	const everybody = "4294967295"
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := bytes.Fields(text)
	return err == nil && (len(fields) != 3 || string(fields[2]) != everybody)
}

// asRootOfNamespace runs the same command as root of a user namespace.
func (s *session) asRootOfNamespace(ctx context.Context) error {
	// The kernel ends the child when the thread ends that made it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", s.args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.stdin, s.stdout, s.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	const patience = 30 * time.Second
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, patience
	if err := cmd.Start(); err != nil {
		return needsRoot("this is not root and may make no namespace: " + err.Error())
	}
	err := cmd.Wait()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended) && ended.ExitCode() > 0:
		return shown{&refusal{exit: ended.ExitCode()}} // it has said why
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return needsRoot("what ran as root of a namespace ended: " + err.Error())
	}
	return nil
}
