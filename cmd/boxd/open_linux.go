package main

import (
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/device"
)

// options of package device for what the command line names.
func (p platform) options() (device.Options, error) {
	o := device.Options{TDQuote: askHost(hostQuotes), Helpers: map[attest.Kind]device.Helper{}}
	for _, name := range p.kinds {
		k, err := attest.ParseKind(name)
		if err != nil {
			return device.Options{}, usage("--platform: %v", err)
		}
		if k.Simulated() || k == attest.Composite {
			return device.Options{}, usage("--platform %s, expected kinds of hardware", name)
		}
		o.Kinds = append(o.Kinds, k)
	}
	if len(p.gpuHelper) > 0 {
		o.Helpers[attest.NVIDIAGPU] = p.gpuHelper
	}
	if len(p.switchHelper) > 0 {
		o.Helpers[attest.NVSwitch] = p.switchHelper
	}
	return o, nil
}

// open returns the hardware of this machine.
func open(p platform) (attest.Attester, error) {
	o, err := p.options()
	if err != nil {
		return nil, err
	}
	return device.Open(o)
}

// detect returns a table of what this machine offers.
func detect(p platform) (string, error) {
	o, err := p.options()
	if err != nil {
		return "", err
	}
	return fmt.Sprintln(device.Detect(o)), nil
}

// reserve keeps evidence from everybody but root.
func reserve() error { return device.Reserve() }
