//go:build !linux

package peers

import "syscall"

// apart has nothing to do where boxes are simulated ones alone.
func apart(bool) *syscall.SysProcAttr { return nil }
