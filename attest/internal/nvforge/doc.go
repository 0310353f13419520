// Package nvforge makes NVIDIA evidence under keys of its own: certificates of
// devices, SPDM reports, signed manifests and OCSP responses.
//
// It answers one question: what does a byte string look like that NVIDIA's
// hardware or services would have signed, and one that they never would? It is
// written apart from package nvgpu and shares no code with it, so that a
// mistake in how a field is read shows. It stands on the attacker's side of the
// trust boundary and is linked by tests alone.
package nvforge
