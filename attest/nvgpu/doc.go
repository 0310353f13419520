// Package nvgpu reads the attestation reports of NVIDIA GPUs and NVSwitches and
// decides whether genuine NVIDIA hardware signed them.
//
// It answers one question: which facts about this device did NVIDIA vouch for at
// the time given? The device signs SPDM measurements of its firmware and
// driver; NVIDIA signs lists of golden measurements, the reference integrity
// manifests (RIM), and says by OCSP which certificates it withdrew. Which of the
// facts are good enough is the business of package appraise.
//
// It stands on the relying party's side of the trust boundary. Report,
// certificates, manifests and OCSP responses all come from a stranger. What it
// trusts is compiled in: NVIDIA's two roots, each pinned as a whole certificate
// by its SHA-256. It uses no network, no clock and nothing outside the standard
// library.
//
// A device says nothing about the machine that it is plugged into. It signs a
// nonce, so that a machine whose processor attests can show that it spoke with
// the device; that no other machine relayed the answer is not proven by it.
//
// Sources: DMTF DSP0274 1.1 (SPDM), NVIDIA's public verifiers (nvtrust,
// attestation-sdk) for the opaque data and the manifests, TCG DICE Attestation
// Architecture 1.1 (TcbInfo), TCG Reference Integrity Manifest 1.01, ISO
// 19770-2:2015 (SWID), W3C XML Signature and Canonical XML 1.1, RFC 6960 (OCSP).
package nvgpu
