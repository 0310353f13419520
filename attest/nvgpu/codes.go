package nvgpu

import "github.com/blindbox/blindbox/attest"

// Codes of refusals and of skipped checks that only these devices have. The
// shared ones are in package attest.
const (
	CodeUnsupported      attest.Code = "unsupported"          // an SPDM version or a request other than the one whose signature is known
	CodeInconsistent     attest.Code = "inconsistent"         // two places that must say the same do not
	CodeUnknownChip      attest.Code = "unknown_chip"         // a chip that is neither Hopper, Blackwell nor LS10
	CodeFirmwareMismatch attest.Code = "firmware_id_mismatch" // the key was certified for other firmware than the report names
	CodeNoFirmwareID     attest.Code = "no_firmware_id"       // the report names no firmware: nothing to compare (a skipped check)
	CodeNoRIM            attest.Code = "no_rim"               // no manifest was given: measurements were not compared (a skipped check)
	CodeRIMMismatch      attest.Code = "rim_mismatch"         // a manifest for another chip or version than the report names
	CodeRIMConflict      attest.Code = "rim_conflict"         // two manifests speak of the same measurement
	CodeNoOCSP           attest.Code = "no_ocsp"              // nothing says whether the certificates were withdrawn (a skipped check)
	CodeBadOCSP          attest.Code = "bad_ocsp"             // an OCSP response by the wrong signer, for another certificate, or from the future
	CodeStaleOCSP        attest.Code = "stale_ocsp"           // an OCSP response past its next update
	CodeOCSPUnknown      attest.Code = "ocsp_unknown"         // the responder does not know the certificate
	CodeHold             attest.Code = "certificate_hold"     // NVIDIA suspended the certificate (a skipped check: package appraise decides)
)
