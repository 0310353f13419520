package device

import "github.com/blindbox/blindbox/attest"

// nsmPath is the device of the Nitro Security Module.
const nsmPath = "/dev/nsm"

func detectNSM(files files) Candidate {
	c := Candidate{Kind: attest.Nitro, Path: nsmPath}
	if !absent(files, &c, "not in a Nitro enclave, or its kernel lacks CONFIG_NSM") {
		c.Detail = "Nitro Security Module"
	}
	return c
}
