//go:build !linux

package box

import "errors"

// claim refuses: containers are the Linux kernel's.
func claim(string) (release func(), err error) {
	return nil, errors.New("the policy's app is an image, and images run on Linux only; nothing was started")
}
