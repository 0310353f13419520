package peers

import "syscall"

// account is the user and group of the verifier. No file belongs to them, and no
// app has them but one whose policy asks for that number; that one is in a process
// namespace of its own.
const account = 64210

// apart gives the program an account of its own, and a network that has nothing in
// it. What it cannot do besides it gives up itself, see package judge.
func apart(apart bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if apart {
		attr.Credential = &syscall.Credential{Uid: account, Gid: account}
		attr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	}
	return attr
}
