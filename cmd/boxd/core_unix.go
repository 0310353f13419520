//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// noCore has the kernel write no core file of this process, nor of any that it
// starts: there would be requests and keys in it.
func noCore() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("core files cannot be turned off: %w", err)
	}
	return nil
}
