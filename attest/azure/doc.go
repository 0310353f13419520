// Package azure verifies Azure confidential VMs, in which the guest does not talk
// to the hardware itself.
//
// It answers one question: is this quote by the virtual TPM of a paravisor that
// AMD's or Intel's hardware measured? A paravisor is Microsoft's firmware that runs
// in the same machine above the guest. It asked the hardware for a report when it
// started, over a JSON document with the keys of the TPM that it emulates; the
// guest gets that report (HCL report) and quotes by that TPM. So there are two
// steps: the hardware vouches for the paravisor and the key, the key for the
// registers and the nonce. Both have to hold, for one machine.
//
// It stands on the relying party's side of the trust boundary. The hardware's
// report is verified by package snp or tdx, the quote by package tpm; here is what
// ties them together.
//
// Microsoft documents the format in "Guest attestation for confidential VMs" and
// in the sources of OpenHCL; the offsets here were checked with captures of real
// machines.
package azure
