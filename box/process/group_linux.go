package process

import (
	"os/exec"
	"runtime"
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
