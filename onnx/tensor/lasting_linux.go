package tensor

import "syscall"

// largePage is the size in bytes of the large pages of amd64 and, mostly, of arm64.
const largePage = 2 << 20

// enlarge advises about all large pages of which the array has a part: its neighbours
// in the heap have the rest.
func enlarge(at, bytes uintptr) {
	from := at &^ (largePage - 1)
	to := (at + bytes + largePage - 1) &^ (largePage - 1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_HUGEPAGE)
}
