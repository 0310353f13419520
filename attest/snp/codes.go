package snp

import "github.com/blindbox/blindbox/attest"

// Codes of refusals that only this format has. The shared ones are in package
// attest.
const (
	CodeUnsupported     attest.Code = "unsupported"       // a report version whose layout AMD has not published, or that names no processor
	CodeUnsupportedAlg  attest.Code = "unsupported_alg"   // a signature algorithm other than ECDSA P-384 with SHA-384
	CodeUnknownProduct  attest.Code = "unknown_product"   // a processor family or model that no pinned root endorses
	CodeProductMismatch attest.Code = "product_mismatch"  // report, certificate and chain speak of different processors
	CodeSignerMismatch  attest.Code = "signer_mismatch"   // VCEK where a VLEK is named, or reverse, or no key at all
	CodeBadKey          attest.Code = "bad_key"           // an endorsement key on another curve than P-384
	CodeChipMismatch    attest.Code = "chip_mismatch"     // the chip id in the report is not the certificate's
	CodeChipMasked      attest.Code = "chip_masked"       // the host hides the chip id from the report: nothing to compare (a skipped check)
	CodeVLEK            attest.Code = "vlek"              // the key belongs to a cloud provider and to no chip: nothing to compare (a skipped check)
	CodeTCBCertMismatch attest.Code = "tcb_cert_mismatch" // the report claims another TCB than the key was derived for
	CodeInconsistent    attest.Code = "inconsistent"      // a combination of values that the firmware cannot produce
	CodeIDBlock         attest.Code = "id_block"          // the author key flag and the key digests contradict each other
)
