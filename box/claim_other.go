//go:build !linux

package box

import (
	"errors"
	"os"
)

// claim refuses: containers are the Linux kernel's.
func claim(string) (release func(), err error) {
	return nil, errors.New("the policy's app is an image, and images run on Linux only; nothing was started")
}

const nonBlocking = 0

// lock does nothing: where there is no Linux, there are no boxes but simulated ones.
func lock(*os.File) error { return nil }
