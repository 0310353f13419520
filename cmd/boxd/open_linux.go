package main

import (
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/device"
)

// open returns the hardware of this machine.
func open() (attest.Attester, error) { return device.Open() }
