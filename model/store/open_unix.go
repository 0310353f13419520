//go:build unix

package store

import "syscall"

// noFollow opens neither the target of a link nor waits at a pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
