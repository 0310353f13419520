package client

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/attest/snp"
)

// verifiersFor makes one Verifier for each kind that the trust accepts.
func verifiersFor(trust *appraise.Trust) (map[attest.Kind]attest.Verifier, error) {
	out := make(map[attest.Kind]attest.Verifier)
	for _, kind := range trust.Kinds() {
		v, err := verifierFor(kind, trust)
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		out[kind] = v
	}
	return out, nil
}

func verifierFor(kind attest.Kind, trust *appraise.Trust) (attest.Verifier, error) {
	switch kind {
	case attest.SNP:
		return snp.NewVerifier()
	case attest.SimSNP:
		root, ok := trust.SimulatedRoot()
		if !ok {
			return nil, errors.New("the trust has no simulated root")
		}
		return sim.NewVerifier(root)
	}
	return nil, fmt.Errorf("no verifier for evidence of kind %s", kind)
}
