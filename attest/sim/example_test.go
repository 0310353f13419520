package sim_test

import (
	"context"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
)

// A simulated box attests, and a relying party that pinned its root verifies.
func Example() {
	now := time.Now()
	root, err := sim.NewRoot(nil, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	policy := attest.Digest{4}
	box, err := root.NewAttester(sim.Box{Measurement: sim.Measure([]byte("the program")), HostData: policy}, time.Now)
	if err != nil {
		fmt.Println(err)
		return
	}
	bound, err := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Exporter: [32]byte{3}, Policy: policy, NotBefore: now, NotAfter: now.Add(time.Minute),
	}.Bind()
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence, endorsements, err := box.Attest(context.Background(), bound)
	if err != nil {
		fmt.Println(err)
		return
	}

	verifier, err := sim.NewVerifier(root.Fingerprint())
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(evidence, endorsements, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.Kind, "simulated:", claims.Simulated, "bound:", claims.ReportData == bound.Bytes())
	// Output: sim-sev-snp simulated: true bound: true
}
