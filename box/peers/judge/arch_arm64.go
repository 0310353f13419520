//go:build linux

package judge

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// archCalls are those that only this architecture has: none.
func archCalls() []uint32 { return nil }
