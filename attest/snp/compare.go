package snp

import (
	"crypto/ecdsa"
	"crypto/sha512"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// compare runs the checks of a report's content: against the certificate, as
// far as that could be read, and against itself. It appends to checks.
func (c *Chain) compare(checks []attest.Check, r *Report, data []byte) []attest.Check {
	if c.vek != nil && c.vek.ext != nil {
		checks = append(checks, c.checkProduct(r), checkSigner(r, c.vek.ext), checkTCB(r, c.vek.ext), checkChipID(r, c.vek.ext))
	}
	checks = append(checks, checkConsistent(r), checkIDBlock(r))
	if c.vek != nil && c.vek.key != nil && r.SigAlgo == 1 {
		checks = append(checks, checkSignature(data, c.vek.key))
	}
	return checks
}

// checkProduct establishes that chain, certificate and report speak of one
// processor line. A report of version 2 names none and borrows the
// certificate's, except on Turin: its TCB versions are laid out differently,
// which cannot be seen in a report that does not say what it is from.
func (c *Chain) checkProduct(r *Report) attest.Check {
	const name = "hardware.product"
	cert := c.vek.ext.product
	if r.Version < 3 && cert == Turin {
		return judge(name, false, CodeUnsupported, "a report of version 2 from Turin", "version 3 or later")
	}
	same := r.Version < 3 || r.Product == cert
	chain := cert
	if c.authority != nil {
		chain = c.authority.product
	}
	if same && chain == cert {
		return judge(name, true, "", cert.String(), "")
	}
	report := "none"
	if r.Version >= 3 {
		report = r.Product.String()
	}
	return judge(name, false, CodeProductMismatch, fmt.Sprintf("report %s, certificate %s, chain %s", report, cert, chain), "one product")
}

// checkSigner compares the kind of key that the report names with the
// certificate's.
func checkSigner(r *Report, ext *vekExtensions) attest.Check {
	return judge("hardware.signer", r.SigningKey == ext.signer, CodeSignerMismatch, r.SigningKey.String(), ext.signer.String())
}

// checkTCB compares the TCB that the report claims with the one that AMD
// certified the key for. The key is derived from the TCB, so no other value is
// possible; the certificate's is the one that can be believed.
func checkTCB(r *Report, ext *vekExtensions) attest.Check {
	if r.ReportedTCB == ext.tcb {
		return judge("hardware.tcb", true, "", ext.tcb.String(), "")
	}
	return judge("hardware.tcb", false, CodeTCBCertMismatch, "reported "+r.ReportedTCB.String(), "the certificate's "+ext.tcb.String())
}

// checkChipID compares CHIP_ID with the hardware id in a VCEK. The host may
// mask CHIP_ID in the report; the certificate's id still holds, since the key
// belongs to that chip alone.
func checkChipID(r *Report, ext *vekExtensions) attest.Check {
	const name = "hardware.chip_id"
	switch {
	case ext.signer == SignerVLEK:
		return attest.Check{Name: name, Status: attest.Skip, Code: CodeVLEK, Seen: "a VLEK belongs to no chip"}
	case r.ChipIDMasked():
		return attest.Check{Name: name, Status: attest.Skip, Code: CodeChipMasked, Seen: "masked by the host", Expected: briefHex(ext.hwid)}
	}
	// On Turin ChipID is longer than the id; that the rest is zero is one of
	// the checks of reserved bytes.
	if r.ChipID == padChipID(ext.hwid) {
		return judge(name, true, "", briefHex(ext.hwid), "")
	}
	return judge(name, false, CodeChipMismatch, briefHex(r.ChipID[:]), "the certificate's "+briefHex(ext.hwid))
}

func padChipID(hwid []byte) (id [64]byte) {
	copy(id[:], hwid)
	return id
}

// checkConsistent refuses what the firmware cannot produce: it never runs below
// what was committed, and never signs for a TCB above the one it runs (AMD
// 56860, SNP_COMMIT and REPORTED_TCB).
func checkConsistent(r *Report) attest.Check {
	const name = "hardware.consistent"
	switch {
	case !r.CurrentTCB.AtLeast(r.CommittedTCB):
		return judge(name, false, CodeInconsistent, "current TCB "+r.CurrentTCB.String(), "at least the committed "+r.CommittedTCB.String())
	case !r.CurrentTCB.AtLeast(r.ReportedTCB):
		return judge(name, false, CodeInconsistent, "current TCB "+r.CurrentTCB.String(), "at least the reported "+r.ReportedTCB.String())
	case r.CurrentVersion.Less(r.CommittedVersion):
		return judge(name, false, CodeInconsistent, "current firmware "+r.CurrentVersion.String(), "at least the committed "+r.CommittedVersion.String())
	}
	return judge(name, true, "", "current TCB and firmware are not below the committed and reported ones", "")
}

// checkIDBlock refuses an author key flag that the digests contradict.
func checkIDBlock(r *Report) attest.Check {
	const name = "hardware.id_block"
	hasID, hasAuthor := r.IDKeyDigest != [48]byte{}, r.AuthorKeyDigest != [48]byte{}
	switch {
	case r.AuthorKeyEn && !hasAuthor:
		return judge(name, false, CodeIDBlock, "author key enabled without digest", "both or neither")
	case !r.AuthorKeyEn && hasAuthor:
		return judge(name, false, CodeIDBlock, "author key digest without being enabled", "both or neither")
	case hasAuthor && !hasID:
		return judge(name, false, CodeIDBlock, "author key without ID key", "an ID key that the author key signed")
	case !hasID:
		return judge(name, true, "", "no ID block", "")
	}
	return judge(name, true, "", "ID key "+briefHex(r.IDKeyDigest[:]), "")
}

// rsSize is the length of r and of s in the signature field: little-endian,
// padded with zeros (AMD 56860, ECDSA P-384 with SHA-384 signature). A P-384
// number has 48 bytes.
const (
	rsSize     = 72
	scalarSize = 48
)

// checkSignature verifies the signature over everything before it. The range of
// r and s is checked by crypto/ecdsa.
func checkSignature(data []byte, key *ecdsa.PublicKey) attest.Check {
	const name, expected = "hardware.signature", "ECDSA P-384 over SHA-384 by the certified key"
	r, s := data[signedSize:signedSize+rsSize], data[signedSize+rsSize:signedSize+2*rsSize]
	if !allZero(r[scalarSize:]) || !allZero(s[scalarSize:]) {
		return judge(name, false, attest.CodeBadSignature, "r or s of more than 48 bytes", expected)
	}
	digest := sha512.Sum384(data[:signedSize])
	ok := ecdsa.VerifyASN1(key, digest[:], derSignature(r[:scalarSize], s[:scalarSize]))
	if !ok {
		return judge(name, false, attest.CodeBadSignature, "does not verify", expected)
	}
	return judge(name, true, "", "verified", expected)
}

// derSignature converts two little-endian numbers to the DER form that
// crypto/ecdsa reads.
func derSignature(r, s []byte) []byte {
	out := make([]byte, 2, 2+2*(2+1+scalarSize))
	out[0] = 0x30
	out = appendDERInteger(out, r)
	out = appendDERInteger(out, s)
	out[1] = byte(len(out) - 2)
	return out
}

func appendDERInteger(out, littleEndian []byte) []byte {
	n := len(littleEndian)
	for n > 1 && littleEndian[n-1] == 0 {
		n--
	}
	pad := littleEndian[n-1] >= 0x80
	out = append(out, 0x02, byte(n))
	if pad {
		out[len(out)-1]++
		out = append(out, 0)
	}
	for i := n - 1; i >= 0; i-- {
		out = append(out, littleEndian[i])
	}
	return out
}
