//go:build linux && (amd64 || arm64)

package judge

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Limits of one process, which lives for one question. Evidence of the largest
// size that is accepted takes some 30 MiB and less than 0.1 s.
const (
	memoryLimit = 512 << 20 // bytes that can be written to
	cpuLimit    = 10        // seconds of processor time
	fileLimit   = 16        // descriptors: three, and those of the runtime's poller
)

// confine takes from this process, for good and for every thread, what it does not
// need to read a question and to write an answer: new files, the network, other
// programs and processes, privileges. A memory of 0 is not limited; the race
// detector needs more than there is.
func confine(memory uint64) error {
	limits := []struct {
		name  string
		which int
		max   uint64
	}{
		{"cpu", unix.RLIMIT_CPU, cpuLimit}, {"core", unix.RLIMIT_CORE, 0}, {"fsize", unix.RLIMIT_FSIZE, 0},
		{"nofile", unix.RLIMIT_NOFILE, fileLimit}, {"memlock", unix.RLIMIT_MEMLOCK, 0}, {"msgqueue", unix.RLIMIT_MSGQUEUE, 0},
	}
	if memory > 0 {
		// RLIMIT_AS would count what Go reserves and never touches.
		limits = append(limits, struct {
			name  string
			which int
			max   uint64
		}{"data", unix.RLIMIT_DATA, memory})
	}
	for _, l := range limits {
		if err := unix.Setrlimit(l.which, &unix.Rlimit{Cur: l.max, Max: l.max}); err != nil {
			return fmt.Errorf("judge: limit of %s: %w", l.name, err)
		}
	}
	// Others of the same account cannot read or change the process (ptrace(2)).
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("judge: dumpable: %w", err)
	}
	return filter()
}

// filter has the kernel refuse every system call but those that the Go runtime
// makes to compute, to read and to write (seccomp(2)). All threads get it.
func filter() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("judge: no new privileges: %w", err)
	}
	code := program()
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	// The result is the id of a thread that could not be given the filter.
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(code)
	switch {
	case errno != 0:
		return fmt.Errorf("judge: system call filter: %w", errno)
	case thread != 0:
		return fmt.Errorf("judge: system call filter: thread %d does without", thread)
	}
	return nil
}

// Offsets in struct seccomp_data. Both architectures are little-endian.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetFirst  = 16 // the low halves of arguments
	offsetThird  = 32
)

// program is the filter. What is not allowed fails with EPERM, but for another
// architecture's calls, which end the process: numbers mean something else there.
func program() []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	// equal and set skip so many instructions if it is so, and if it is not.
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	set := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	end := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	allow, deny := end(unix.SECCOMP_RET_ALLOW), end(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))

	out := []unix.SockFilter{
		load(offsetArch), equal(auditArch, 1, 0), end(unix.SECCOMP_RET_KILL_PROCESS), load(offsetNumber),
		// Threads, and no processes. Clone3 has its flags in memory, where a filter
		// cannot look; "there is no such call" makes a C library use clone.
		equal(unix.SYS_CLONE3, 0, 1), end(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)),
		equal(unix.SYS_CLONE, 0, 4), load(offsetFirst), set(unix.CLONE_THREAD, 0, 1), allow, deny,
		// Memory that is written is not run: nothing is compiled here.
		equal(unix.SYS_MMAP, 1, 0), equal(unix.SYS_MPROTECT, 0, 4), load(offsetThird), set(unix.PROT_EXEC, 1, 0), allow, deny,
		// The runtime interrupts its own threads, and nobody else's.
		equal(unix.SYS_TGKILL, 0, 4), load(offsetFirst), equal(uint32(unix.Getpid()), 0, 1), allow, deny,
	}
	for _, n := range append(calls(), archCalls()...) {
		out = append(out, equal(n, 0, 1), allow)
	}
	return append(out, deny)
}

// calls are what the Go runtime makes when it computes, waits, and reads and writes
// what is open.
func calls() []uint32 {
	return []uint32{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FUTEX, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP,
		unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_FSTAT,
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	}
}
