package sandbox

import (
	"runtime"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// seccomp is the list of system calls that the app may make. Every other call
// ends with EPERM, and a thread that makes one of another architecture is ended.
// What a list by name cannot tell apart is decided by arguments: which
// namespaces clone makes, which families socket opens.
//
// Left out on purpose, beside what needs a capability anyway: keyctl, add_key,
// request_key (keys are not in a namespace); bpf, perf_event_open, userfaultfd,
// io_uring, modify_ldt (kernel code that few programs need and many exploits
// begin with); ptrace, process_vm_readv and _writev, kcmp, pidfd_getfd (other
// processes' memory and files); mount and its relatives, setns, unshare,
// pivot_root; kexec, reboot, modules, clocks, quotas, swap.
func seccomp() *specs.LinuxSeccomp {
	denied := uint(unix.EPERM)
	absent := uint(unix.ENOSYS)
	calls := []specs.LinuxSyscall{
		{Names: allowedCalls(), Action: specs.ActAllow},
		when("clone", specs.LinuxSeccompArg{Index: 0, Value: newNamespaces, ValueTwo: 0, Op: specs.OpMaskedEqual}),
		// Its flags are in memory, where a filter cannot look. Without it the C
		// library uses clone.
		{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &absent},
	}
	// The values of personality(2) that programs set: Linux's, the same with
	// other words from uname, and the question which one holds.
	for _, p := range []uint64{0, 8, 0x20000, 0x20008, 0xffffffff} {
		calls = append(calls, when("personality", equal(0, p)))
	}
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, DefaultErrnoRet: &denied,
		Architectures: []specs.Arch{nativeArch()},
		Syscalls:      append(calls, sockets()...),
	}
}

// newNamespaces are the flags of clone(2) that make a namespace: NEWNS, NEWCGROUP,
// NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME shares its bit with a signal
// and is read by clone3 and unshare alone.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

func nativeArch() specs.Arch {
	if runtime.GOARCH == "arm64" {
		return specs.ArchAARCH64
	}
	return specs.ArchX86_64
}

func equal(index uint, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
}

func when(call string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{call}, Action: specs.ActAllow, Args: args}
}

// sockets lists the sockets that can be opened: local ones, TCP, UDP, and the
// question for interfaces and routes that C libraries ask. All other families
// (packet, vsock, alg, xdp, bluetooth ...) and protocols are not there.
func sockets() []specs.LinuxSyscall {
	// The type holds flags in its upper bits (socket(2)).
	kind := func(k uint64) specs.LinuxSeccompArg {
		const mask = 0xf // SOCK_TYPE_MASK, linux/net.h
		return specs.LinuxSeccompArg{Index: 1, Value: mask, ValueTwo: k, Op: specs.OpMaskedEqual}
	}
	out := []specs.LinuxSyscall{
		when("socket", equal(0, unix.AF_UNIX)),
		when("socketpair", equal(0, unix.AF_UNIX)),
		when("socket", equal(0, unix.AF_NETLINK), equal(2, unix.NETLINK_ROUTE)),
	}
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
		for _, p := range []uint64{unix.IPPROTO_IP, unix.IPPROTO_TCP} {
			out = append(out, when("socket", equal(0, family), kind(unix.SOCK_STREAM), equal(2, p)))
		}
		for _, p := range []uint64{unix.IPPROTO_IP, unix.IPPROTO_UDP} {
			out = append(out, when("socket", equal(0, family), kind(unix.SOCK_DGRAM), equal(2, p)))
		}
	}
	return out
}

// allowedCalls are allowed with any argument.
func allowedCalls() []string {
	return slices.Concat(fileCalls(), memoryCalls(), processCalls(), signalCalls(), timeCalls(), socketCalls(), waitCalls(), ipcCalls(), identityCalls())
}

func fileCalls() []string {
	return []string{
		"access", "chdir", "chmod", "chown", "chroot", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
		"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat",
		"fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
		"ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init",
		"inotify_init1", "inotify_rm_watch", "ioctl", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr",
		"lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "openat2", "pread64",
		"preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
		"removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr", "splice", "stat", "statfs", "statx",
		"symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime",
		"utimensat", "utimes", "vmsplice", "write", "writev",
	}
}

func memoryCalls() []string {
	return []string{
		"brk", "get_mempolicy", "madvise", "map_shadow_stack", "mbind", "membarrier", "memfd_create", "mincore", "mlock", "mlock2",
		"mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
		"pkey_mprotect", "remap_file_pages", "set_mempolicy", "set_mempolicy_home_node",
	}
}

func processCalls() []string {
	return []string{
		"arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_wait", "futex_waitv",
		"futex_wake", "get_robust_list", "get_thread_area", "getcpu", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
		"getrandom", "getrlimit", "getrusage", "getsid", "gettid", "ioprio_get", "ioprio_set", "landlock_add_rule",
		"landlock_create_ruleset", "landlock_restrict_self", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64", "rseq",
		"sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
		"sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam",
		"sched_setscheduler", "sched_yield", "seccomp", "set_robust_list", "set_thread_area", "set_tid_address", "setpgid",
		"setpriority", "setrlimit", "setsid", "sysinfo", "uname", "vfork", "wait4", "waitid",
	}
}

func signalCalls() []string {
	return []string{
		"kill", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
		"rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack", "signalfd", "signalfd4", "tgkill", "tkill",
	}
}

func timeCalls() []string {
	return []string{
		"alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep", "setitimer", "time",
		"timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime",
		"timerfd_settime", "times",
	}
}

// socketCalls act on sockets that are open; socket itself is filtered.
func socketCalls() []string {
	return []string{
		"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom", "recvmmsg",
		"recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
	}
}

func waitCalls() []string {
	return []string{
		"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2",
		"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit", "pipe", "pipe2", "poll", "ppoll",
		"pselect6", "select",
	}
}

// ipcCalls stay within the app's own IPC namespace.
func ipcCalls() []string {
	return []string{
		"mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv",
		"msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
	}
}

// identityCalls change nothing without a capability in the app's own namespace.
func identityCalls() []string {
	return []string{
		"capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid", "setfsgid",
		"setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid",
	}
}
