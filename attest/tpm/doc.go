// Package tpm verifies quotes of a TPM 2.0.
//
// It answers one question: did this attestation key, which a TPM holds and which
// signs nothing but what the TPM itself made up, sign these register values over
// this nonce? It stands on the relying party's side of the trust boundary, and
// all it reads comes from a stranger.
//
// Whose TPM it is, is the second half. A TPM's maker signs the endorsement key,
// which cannot sign; the attestation key is tied to it by a certificate, by a
// challenge that only that TPM can answer ([EK.Challenge]), or by a hardware
// report that names the key (package azure). Claims.Binding says which of them
// holds; the zero value says none, and then the quote proves nothing about
// anybody's hardware.
//
// A TPM encrypts no memory: its quote says what was started, and the host that it
// was started on sees all of it. That is why a quote alone is a weaker thing than
// any other kind of evidence.
//
// Sources: TPM 2.0 Library revision 1.59 (Parts 1 to 3), TCG PC Client Platform
// TPM Profile (PTP) and Firmware Profile (PFP), TCG EK Credential Profile.
package tpm
