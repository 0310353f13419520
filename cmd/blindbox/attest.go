package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// attestFlags say as which box a command calls, by the policy of that box.
type attestFlags struct{ real, simulated string }

func addAttestFlags(cmd *cobra.Command, a *attestFlags) {
	cmd.Flags().StringVar(&a.real, "attest", "", "be a caller that is a box: show this machine's evidence, under its box.yaml `FILE`")
	cmd.Flags().StringVar(&a.simulated, "attest-simulated", "", "the same as the simulated box that blindbox dev -f `FILE` starts here")
}

// identity returns what this command proves itself with; nil if it does not.
func (s *session) identity(a attestFlags) (*atls.Identity, error) {
	switch {
	case a.real == "" && a.simulated == "":
		return nil, nil
	case a.real != "" && a.simulated != "":
		return nil, usage("--attest and --attest-simulated, expected one of them")
	case a.simulated != "":
		return s.simulatedIdentity(a.simulated)
	}
	p, err := s.readPolicy(a.real)
	if err != nil {
		return nil, err
	}
	hardware, err := openDevice()
	if err != nil {
		return nil, fail(attest.CodeUnavailable, "evidence", err.Error(), "a machine with the hardware, and the right to ask it")
	}
	return &atls.Identity{Attester: hardware, Policy: p.Bytes()}, nil
}

func (s *session) simulatedIdentity(file string) (*atls.Identity, error) {
	p, err := s.readPolicy(file)
	if err != nil {
		return nil, err
	}
	dir, err := s.simDir()
	if err != nil {
		return nil, err
	}
	root, err := s.simRoot(dir)
	if err != nil {
		return nil, err
	}
	measurement, err := simMeasurement()
	if err != nil {
		return nil, fail(catalogue.CodeSimRoot, "sim", err.Error(), "")
	}
	a, err := root.NewAttester(sim.Box{Measurement: measurement, HostData: p.Digest()}, time.Now)
	if err != nil {
		return nil, fail(catalogue.CodeSimRoot, "sim", err.Error(), "")
	}
	return &atls.Identity{Attester: a, Policy: p.Bytes()}, nil
}

// withIdentity adds it to the options of a client.
func (s *session) withIdentity(a attestFlags, opts []client.Option) ([]client.Option, error) {
	id, err := s.identity(a)
	if err != nil || id == nil {
		return opts, err
	}
	return append(opts, client.WithAttester(id.Attester, id.Policy)), nil
}
