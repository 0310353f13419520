package egress

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A network namespace holds back what goes through the network stack. Some
// families of sockets do not: AF_VSOCK talks to the host of the machine, from
// every namespace. So whatever is started by [Namespace.Enter] may make sockets
// of these families only. An OCI runtime that is given the Path must be told the
// same in its seccomp section, io_uring included, which makes sockets without
// the system call socket.
func families() []uint32 {
	return []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET}
}

// Offsets in struct seccomp_data (linux/seccomp.h). Arguments are 64 bits wide; a
// family is an int, which the kernel takes from the lower half.
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16
)

// confineFamilies installs the filter on the calling thread. Whatever the thread
// starts inherits it and cannot take it off (seccomp(2)).
func confineFamilies() error {
	filter, err := familyFilter()
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// familyFilter allows every system call but those that make a socket of another
// family. Calls in the numbering of another processor, 32-bit programs, that is,
// would have to be told apart by other numbers: there are none of those in a box.
func familyFilter() ([]unix.SockFilter, error) {
	arch, err := auditArch()
	if err != nil {
		return nil, err
	}
	const x32 = 0x40000000 // __X32_SYSCALL_BIT
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(test uint16, k uint32, yes, no int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: uint8(yes), Jf: uint8(no)}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	refused := answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT))
	foreign := answer(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))

	filter := []unix.SockFilter{
		load(dataArch), jump(unix.BPF_JEQ, arch, 1, 0), foreign,
		load(dataNumber), jump(unix.BPF_JGE, x32, 0, 1), foreign,
		jump(unix.BPF_JEQ, unix.SYS_IO_URING_SETUP, 0, 1), foreign,
		jump(unix.BPF_JEQ, unix.SYS_SOCKET, 2, 0), jump(unix.BPF_JEQ, unix.SYS_SOCKETPAIR, 1, 0), answer(unix.SECCOMP_RET_ALLOW),
		load(dataArg0),
	}
	all := families()
	for i, f := range all {
		filter = append(filter, jump(unix.BPF_JEQ, f, len(all)-i, 0))
	}
	return append(filter, refused, answer(unix.SECCOMP_RET_ALLOW)), nil
}

func auditArch() (uint32, error) {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64, nil
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64, nil
	}
	return 0, fmt.Errorf("seccomp: no filter for %s", runtime.GOARCH)
}
