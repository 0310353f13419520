//go:build unix

package process

import (
	"io/fs"
	"os/exec"
	"syscall"
)

// suffixes are what a program's file may end in.
func suffixes() []string { return []string{""} }

func runnable(info fs.FileInfo) bool { return info.Mode().IsRegular() && info.Mode()&0o111 != 0 }

// terminate asks every process of the group to end. The group has the number
// of its first process.
func terminate(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }

// killGroup ends every process of the group. There may be none left.
func killGroup(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// setAccount is called after setGroup.
func setAccount(cmd *exec.Cmd, a *Account) {
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: []uint32{}}
	}
}
