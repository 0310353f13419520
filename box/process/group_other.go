//go:build !unix

package process

import (
	"io/fs"
	"os/exec"
)

// suffixes are what a program's file may end in.
func suffixes() []string { return []string{"", ".exe"} }

func runnable(info fs.FileInfo) bool { return info.Mode().IsRegular() }

func setGroup(*exec.Cmd) {}

func keepThread() (release func()) { return func() {} }

// terminate and killGroup reach the app's first process only: there are no
// process groups to signal. Boxes do not run here; developers do.
func terminate(cmd *exec.Cmd) { cmd.Process.Kill() }

func killGroup(cmd *exec.Cmd) { cmd.Process.Kill() }

func forgoPrivileges() error { return nil }

func sealFiles() error { return nil }

func setAccount(*exec.Cmd, *Account) {}
