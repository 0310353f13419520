package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// setGroup gives the app a process group of its own, and has the kernel end it
// if the box's process dies without being able to.
func setGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// keepThread keeps the calling goroutine on its thread. The kernel sends the
// signal of PR_SET_PDEATHSIG when the thread that made the process ends, not
// when the process does (prctl(2)), so that thread must last as long as the app.
func keepThread() (release func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// forgoPrivileges sets no_new_privs on the calling thread (prctl(2)). The app is
// started from this thread and inherits it: no set-user-ID program can give it
// back what it was started without. The thread keeps it; nothing else does.
func forgoPrivileges() error {
	const prSetNoNewPrivs = 38 // PR_SET_NO_NEW_PRIVS, linux/prctl.h
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	return nil
}

// sealFiles has every open file but the standard three closed when the app is
// started. What we open is already; what whoever started us left open, a log or
// a socket, is not.
func sealFiles() error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("process: %w", err)
	}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			return fmt.Errorf("process: open file %q: %w", f.Name(), err)
		}
		if fd > 2 {
			syscall.CloseOnExec(fd) // fails if it is closed by now
		}
	}
	return nil
}
