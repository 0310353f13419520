// Package sim is simulated hardware. It PROVES NOTHING about any machine.
//
// It answers one question: how do I run the whole of BlindBox, from the box to
// the verdict, where there is no SEV-SNP hardware? It makes a root key on this
// machine and signs reports under it that have AMD's exact format, and it
// verifies them with the code that verifies AMD's. Whoever can read the root's
// file can claim to be any box, and the operating system, the hypervisor and
// every administrator can read all that a simulated box does.
//
// It stands on both sides of the trust boundary, which is the whole point of a
// boundary and why nothing accepts it by accident:
//
//   - its Evidence has a [attest.Kind] of its own, SimSNP, and is refused by
//     the verifier of real hardware, as real hardware's is by this one;
//   - its root is not AMD's and says SIMULATED in every name, and a relying
//     party has to pin that one certificate by its SHA-256;
//   - its Claims say Simulated, always, and appraisal refuses those unless the
//     trust file says allow_simulated: true.
//
// The program that runs inside of real boxes does not link this package.
package sim
