//go:build !linux

package main

import (
	"fmt"
	"runtime"

	"github.com/blindbox/blindbox/attest"
)

// open refuses: boxes are Linux machines.
func open(platform) (attest.Attester, error) {
	return nil, fmt.Errorf("boxd: evidence %w: this is %s, and boxd asks Linux for it", attest.ErrUnavailable, runtime.GOOS)
}

func detect(p platform) (string, error) {
	_, err := open(p)
	return "", err
}

func reserve() error {
	_, err := open(platform{})
	return err
}
