// Package attesttest is for tests only. No program may link it.
//
// It answers two questions. What would a machine in this or that state send?
// [AMD] is a vendor with real keys that were made in this process, and writes
// Evidence and Endorsements in AMD's own format for healthy machines and for
// every kind of unhealthy one. And does a Verifier keep the promises of
// [attest.Verifier]? [TestVerifier] is the suite that every one of them passes.
//
// It plays the part of the machine and of the vendor, and of whoever stands
// between them and the relying party. It never judges, so it does not import the
// verifier; a test hands the roots over:
//
//	amd := attesttest.New()
//	roots := amd.Roots(t, attesttest.Genoa)
//	v, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{
//		Product: snp.Genoa, ARK: roots.ARK, ASK: roots.ASK, ASVK: roots.ASVK,
//	})
//	ev, end := amd.Make(t, bound.Bytes(), attesttest.Debug())
//	claims, err := v.Verify(ev, end, attesttest.Epoch())
//
// To get evidence in a test of something else, use [AMD.Attester].
package attesttest
