//go:build !linux

package main

import (
	"fmt"
	"runtime"

	"github.com/blindbox/blindbox/attest"
)

// openDevice refuses: boxes are Linux machines.
func openDevice() (attest.Attester, error) {
	return nil, fmt.Errorf("this is %s, and boxes are Linux machines", runtime.GOOS)
}
