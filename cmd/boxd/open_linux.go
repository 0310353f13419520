package main

import (
	"fmt"
	"slices"

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

// detect returns a table of what this machine offers, with an error if no box
// could be started on it.
func detect(p platform) (string, error) {
	o, err := p.options()
	if err != nil {
		return "", err
	}
	found := device.Detect(o)
	if !gives(found, o.Kinds) {
		err = fmt.Errorf("boxd: evidence %w: see the table above", attest.ErrUnavailable)
	}
	return fmt.Sprintln(found), err
}

// gives reports whether every kind that is named can be had or, if none is, any
// that proves a machine.
func gives(found device.Detection, named []attest.Kind) bool {
	for _, k := range named {
		if c, ok := found.Find(k); !ok || !c.Usable() {
			return false
		}
	}
	machine := func(c device.Candidate) bool { return !c.Kind.Device() }
	return len(named) > 0 || slices.ContainsFunc(found.Usable(), machine)
}

// reserve keeps evidence from everybody but root.
func reserve() error { return device.Reserve() }
