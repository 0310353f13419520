//go:build unix && !linux

package process

import (
	"os/exec"
	"syscall"
)

// setGroup gives the app a process group of its own.
func setGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func keepThread() (release func()) { return func() {} }

func forgoPrivileges() error { return nil }

func sealFiles() error { return nil }
