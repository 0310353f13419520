package main

import (
	"os"

	"github.com/blindbox/blindbox/box/peers"
)

// devVerifier judges other boxes that call a simulated one: this program, started
// once more, which turns into what boxverify is in an image (see main). It is nil
// where the program cannot be found, and a policy with such callers is refused then.
func devVerifier() *peers.Verifier {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return &peers.Verifier{Program: self}
}
