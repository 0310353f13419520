// Package device asks the machine it runs on for Evidence.
//
// It answers one question: what does this hardware sign, if it signs anything?
// It runs inside the box. The kernel it talks to is measured, the hypervisor
// behind the kernel is not, so whatever comes back is bounded, and a report over
// other bytes than were asked for is refused here, where the message can still
// say so, and not only by the relying party.
//
// A driver sees 64 opaque bytes that somebody bound before ([attest.Bound]).
// There is no other way in, and no other package of the box can get evidence.
//
// It knows SEV-SNP and TDX through configfs-tsm, SGX through Gramine's
// /dev/attestation, Nitro enclaves through /dev/nsm, a TPM 2.0 through
// /dev/tpmrm0, Azure's paravisor through that TPM, and NVIDIA's devices through a
// program that links NVIDIA's library. [Detect] says what is there and, for
// every kind that is not, why not. If there are several kinds somebody has to say
// which; [Open] never picks one and never falls back to anything, least of all
// to a simulation. The package is empty on other systems than Linux.
package device
