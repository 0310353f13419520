package main

import (
	"os"
	"path/filepath"

	"github.com/blindbox/blindbox/box/peers"
)

// judge is the program that judges other boxes. Nothing of it is looked at unless
// the policy has callers that are boxes.
func (o *options) judge(root bool) *peers.Verifier {
	v := &peers.Verifier{Program: o.verifier, Apart: root}
	if v.Program != "" {
		return v
	}
	if mine, err := os.Executable(); err == nil {
		v.Program = filepath.Join(filepath.Dir(mine), "boxverify")
	}
	return v
}
