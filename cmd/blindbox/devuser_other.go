//go:build !linux

package main

import "context"

func inUserNamespace() bool { return false }

// asRootOfNamespace fails: containers are the Linux kernel's.
func (s *session) asRootOfNamespace(context.Context) error { return needsRoot("this is not Linux") }
