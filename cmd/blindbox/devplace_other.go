//go:build !linux

package main

import "errors"

const devMemory = ""

// devPlace fails: containers are the Linux kernel's.
func (s *session) devPlace(string) (string, func(), error) {
	return "", nil, errors.New("an app from an image runs on Linux only")
}
