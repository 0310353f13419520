package main

import (
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/device"
)

// openDevice returns the hardware of this machine.
func openDevice() (attest.Attester, error) { return device.Open(device.Options{}) }
