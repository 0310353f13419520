package dcap

import (
	"bytes"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// maxQuote is the most bytes of a quote with its padding. A quote has about 5000
// bytes, most of them certificates; kernels ask for it in buffers of 8 KiB.
const maxQuote = 16 << 10

// Header is the head of a quote (48 bytes).
type Header struct {
	Version            uint16 // 3, 4 or 5
	AttestationKeyType uint16 // 2: ECDSA-256 with curve P-256
	TEE                TEE
	QESVN, PCESVN      uint16 // version 3 only
	QEVendorID         [16]byte
	UserData           [20]byte // QE identifier in the first 16
}

// BodyType is what a quote is about (quote v5, body descriptor). Versions 3 and 4
// do not write it down; it follows from their TEE type.
type BodyType uint16

// The body types.
const (
	BodySGX   BodyType = 1
	BodyTDX10 BodyType = 2
	BodyTDX15 BodyType = 3
)

// size returns the length of a body, 0 for a type that is not known.
func (b BodyType) size() int {
	switch b {
	case BodySGX:
		return 384
	case BodyTDX10:
		return 584
	case BodyTDX15:
		return 648
	}
	return 0
}

// Quote is a quote that could be read. Nothing in it was verified.
type Quote struct {
	Header   Header
	BodyType BodyType
	Enclave  *EnclaveReport // SGX
	TD       *TDReport      // TDX
	QEReport EnclaveReport
	// PCKChain is the PEM text of the PCK certificate and its issuers.
	PCKChain []byte
	// Padding is the number of zero bytes behind the quote.
	Padding int

	signed         []byte // header and body, as signed by the attestation key
	signature      []byte // 64 bytes
	attestationKey []byte // 64 bytes
	qeReport       []byte // as signed by the PCK
	qeSignature    []byte // 64 bytes
	qeAuth         []byte
}

// Values of the header that are accepted.
const (
	keyTypeP256   = 2
	certPCKChain  = 5
	certQEReport  = 6
	signatureSize = 64 // r and s, 32 bytes each, big-endian
	publicKeySize = 64 // x and y, likewise
)

// intelQE is the vendor id of Intel's quoting enclaves (Quote Library Reference,
// A.3, QE vendor id).
var intelQE = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// ReadQuote reads a quote of the given TEE and returns it with the check of its
// form, nil if it could not be read.
func ReadQuote(data []byte, tee TEE) (*Quote, attest.Check) {
	const name = "hardware.quote"
	q, problem := parseQuote(data)
	switch {
	case problem != nil:
		return nil, problem.Check(name)
	case q.Header.TEE != tee:
		return nil, pki.Judge(name, false, attest.CodeKindMismatch, "a quote of "+q.Header.TEE.String(), tee.String())
	}
	return q, pki.Judge(name, true, "", fmt.Sprintf("version %d, %s", q.Header.Version, q.BodyType), "")
}

// ParseQuote reads a quote of version 3, 4 or 5 and nothing else. The result
// shares no memory with data.
//
// A quote's length follows from its own fields. Behind a TDX quote any number of
// zero bytes is accepted within the limit, since it reaches us through buffers
// of fixed size that the kernel and the hypervisor fill up with zeros, and
// whoever saved it seldom knew where it ends. Zeros carry nothing; any other byte
// there is refused, as is every byte behind an SGX quote, which no such buffer is
// between.
func ParseQuote(data []byte) (*Quote, error) {
	q, problem := parseQuote(data)
	if problem != nil {
		return nil, fmt.Errorf("dcap: quote: %s: %s, expected %s", problem.Code, problem.Seen, problem.Expected)
	}
	return q, nil
}

func parseQuote(data []byte) (*Quote, *pki.Problem) {
	if len(data) > maxQuote {
		return nil, &pki.Problem{Code: attest.CodeTooLarge, Seen: fmt.Sprintf("%d bytes", len(data)), Expected: fmt.Sprintf("at most %d", maxQuote)}
	}
	data = bytes.Clone(data)
	r := &reader{data: data, end: len(data)}
	q := &Quote{}
	for _, part := range []func(*reader) *pki.Problem{q.readHeader, q.readBody, q.readSignature, q.readPadding} {
		problem := part(r)
		if r.err != nil {
			return nil, &pki.Problem{Code: attest.CodeMalformed, Seen: r.err.Error(), Expected: "a quote of version 3, 4 or 5"}
		}
		if problem != nil {
			return nil, problem
		}
	}
	return q, nil
}

func (q *Quote) readHeader(r *reader) *pki.Problem {
	h := &q.Header
	h.Version = r.uint16("version")
	h.AttestationKeyType = r.uint16("attestation key type")
	h.TEE = TEE(r.uint32("TEE type"))
	if r.err != nil {
		return nil
	}
	if problem := h.check(); problem != nil {
		return problem
	}
	if h.Version == 3 {
		h.QESVN, h.PCESVN = r.uint16("QE SVN"), r.uint16("PCE SVN")
	} else {
		r.zeros("reserved header field", 4)
	}
	r.fill("QE vendor id", h.QEVendorID[:])
	r.fill("user data", h.UserData[:])
	if r.err == nil && h.QEVendorID != intelQE {
		return &pki.Problem{Code: CodeQEVendor, Seen: fmt.Sprintf("QE vendor %x", h.QEVendorID), Expected: fmt.Sprintf("Intel, %x", intelQE)}
	}
	return nil
}

// check looks at the first three fields, which say how to read the rest.
func (h *Header) check() *pki.Problem {
	switch {
	case h.Version < 3 || h.Version > 5:
		return &pki.Problem{Code: CodeUnsupported, Seen: fmt.Sprintf("quote version %d", h.Version), Expected: "3, 4 or 5"}
	case h.AttestationKeyType != keyTypeP256:
		return &pki.Problem{Code: CodeUnsupportedAlg, Seen: fmt.Sprintf("attestation key type %d", h.AttestationKeyType), Expected: "2, ECDSA P-256"}
	case h.TEE != SGX && h.TEE != TDX:
		return &pki.Problem{Code: CodeUnsupported, Seen: fmt.Sprintf("TEE type %#x", uint32(h.TEE)), Expected: "SGX or TDX"}
	case h.Version == 3 && h.TEE != SGX:
		return &pki.Problem{Code: CodeUnsupported, Seen: "quote version 3 of " + h.TEE.String(), Expected: "version 4 or 5"}
	}
	return nil
}

// readBody reads what the quote is about. Version 5 says what that is and how
// long, which must agree with the TEE type and with the format.
func (q *Quote) readBody(r *reader) *pki.Problem {
	q.BodyType = BodySGX
	if q.Header.TEE == TDX {
		q.BodyType = BodyTDX10
	}
	if q.Header.Version == 5 {
		q.BodyType = BodyType(r.uint16("body type"))
		size := r.uint32("body size")
		if r.err != nil {
			return nil
		}
		if q.BodyType.size() == 0 || (q.BodyType == BodySGX) != (q.Header.TEE == SGX) {
			return &pki.Problem{Code: CodeUnsupported, Seen: fmt.Sprintf("body type %d in a quote of %s", uint16(q.BodyType), q.Header.TEE), Expected: "1 for SGX, 2 or 3 for TDX"}
		}
		if uint64(size) != uint64(q.BodyType.size()) {
			return &pki.Problem{Code: attest.CodeMalformed, Seen: fmt.Sprintf("body of %d bytes", size), Expected: fmt.Sprintf("%d for type %d", q.BodyType.size(), uint16(q.BodyType))}
		}
	}
	if q.BodyType == BodySGX {
		q.Enclave = &EnclaveReport{}
		q.Enclave.read(r)
	} else {
		q.TD = &TDReport{}
		q.TD.read(r, q.BodyType == BodyTDX15)
	}
	q.signed = r.data[:r.off:r.off]
	return nil
}

// readSignature reads the part behind the body. Since version 4 the QE's report
// and certificates are wrapped into certification data of their own.
func (q *Quote) readSignature(r *reader) *pki.Problem {
	all := r.size("signature data")
	if r.err != nil {
		return nil
	}
	whole := r.end
	r.end = r.off + all
	q.signature = r.take("signature", signatureSize)
	q.attestationKey = r.take("attestation key", publicKeySize)
	if q.Header.Version >= 4 {
		kind := r.uint16("certification data type")
		size := r.size("certification data")
		switch {
		case r.err != nil:
			return nil
		case kind != certQEReport:
			return noChain(kind, "6, the QE report with certificates")
		case size != r.end-r.off:
			r.end = r.off + size
			r.err = fmt.Errorf("certification data of %d bytes in signature data of %d", size, all)
			return nil
		}
	}
	problem := q.readQE(r)
	r.done("signature data")
	r.end = whole
	return problem
}

// readQE reads the quoting enclave's report, its signature by the PCK, and the
// PCK's certificates.
func (q *Quote) readQE(r *reader) *pki.Problem {
	start := r.off
	q.QEReport.read(r)
	if r.err == nil {
		q.qeReport = r.data[start:r.off:r.off]
	}
	q.qeSignature = r.take("QE report signature", signatureSize)
	q.qeAuth = r.take("QE authentication data", int(r.uint16("QE authentication data size")))
	kind := r.uint16("QE certification data type")
	q.PCKChain = r.take("QE certification data", r.size("QE certification data size"))
	if r.err == nil && kind != certPCKChain {
		return noChain(kind, "5, a PCK certificate chain")
	}
	return nil
}

// noChain refuses certification data that leave it to us to find the PCK's
// certificate (types 1 to 4) or that are not known.
func noChain(kind uint16, expected string) *pki.Problem {
	return &pki.Problem{Code: CodeNoPCKChain, Seen: fmt.Sprintf("certification data type %d", kind), Expected: expected}
}

func (q *Quote) readPadding(r *reader) *pki.Problem {
	q.Padding = r.end - r.off
	if q.Header.TEE != TDX {
		r.done("quote")
		return nil
	}
	at := r.off
	for _, b := range r.take("padding", q.Padding) {
		if b != 0 {
			r.err = fmt.Errorf("%d bytes at byte %d after the end of the quote are not all zero", q.Padding, at)
		}
	}
	return nil
}

// String returns SGX or TDX.
func (t TEE) String() string {
	switch t {
	case SGX:
		return "SGX"
	case TDX:
		return "TDX"
	}
	return fmt.Sprintf("TEE(%#x)", uint32(t))
}

// String names the body.
func (b BodyType) String() string {
	switch b {
	case BodySGX:
		return "SGX enclave report"
	case BodyTDX10:
		return "TD report 1.0"
	case BodyTDX15:
		return "TD report 1.5"
	}
	return fmt.Sprintf("body type %d", uint16(b))
}
