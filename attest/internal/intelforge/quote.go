package intelforge

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
)

// TEE types of the quote header.
const (
	TEESGX uint32 = 0x00
	TEETDX uint32 = 0x81
)

// Body types of quote version 5.
const (
	BodySGX   uint16 = 1
	BodyTDX10 uint16 = 2
	BodyTDX15 uint16 = 3
)

// IntelQE is the vendor id of Intel's quoting enclaves.
func IntelQE() [16]byte {
	return [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}
}

// Header is the head of a quote, 48 bytes.
type Header struct {
	Version  uint16
	KeyType  uint16 // 2: ECDSA P-256
	TEE      uint32
	QESVN    uint16 // reserved since version 4
	PCESVN   uint16 // reserved since version 4
	VendorID [16]byte
	UserData [20]byte
}

// Encode returns the header.
func (h Header) Encode() []byte {
	le := binary.LittleEndian
	out := le.AppendUint16(nil, h.Version)
	out = le.AppendUint16(out, h.KeyType)
	out = le.AppendUint32(out, h.TEE)
	out = le.AppendUint16(out, h.QESVN)
	out = le.AppendUint16(out, h.PCESVN)
	out = append(out, h.VendorID[:]...)
	return append(out, h.UserData[:]...)
}

// Enclave is the report body of an enclave, 384 bytes. Reserved are the bytes
// between the fields, in order: 12, 32, 32 and 42.
type Enclave struct {
	CPUSVN       [16]byte
	MiscSelect   uint32
	ISVExtProdID [16]byte
	Attributes   uint64
	XFRM         uint64
	MRENCLAVE    [32]byte
	MRSIGNER     [32]byte
	ConfigID     [64]byte
	ISVProdID    uint16
	ISVSVN       uint16
	ConfigSVN    uint16
	ISVFamilyID  [16]byte
	ReportData   [64]byte
	Reserved     [118]byte
}

// Encode returns the report body.
func (e Enclave) Encode() []byte {
	le := binary.LittleEndian
	out := append([]byte(nil), e.CPUSVN[:]...)
	out = le.AppendUint32(out, e.MiscSelect)
	out = append(out, e.Reserved[:12]...)
	out = append(out, e.ISVExtProdID[:]...)
	out = le.AppendUint64(out, e.Attributes)
	out = le.AppendUint64(out, e.XFRM)
	out = append(out, e.MRENCLAVE[:]...)
	out = append(out, e.Reserved[12:44]...)
	out = append(out, e.MRSIGNER[:]...)
	out = append(out, e.Reserved[44:76]...)
	out = append(out, e.ConfigID[:]...)
	out = le.AppendUint16(out, e.ISVProdID)
	out = le.AppendUint16(out, e.ISVSVN)
	out = le.AppendUint16(out, e.ConfigSVN)
	out = append(out, e.Reserved[76:]...)
	out = append(out, e.ISVFamilyID[:]...)
	return append(out, e.ReportData[:]...)
}

// TD is the report body of a TD: 584 bytes, 648 for TDX 1.5.
type TD struct {
	TCBSVN         [16]byte
	MRSEAM         [48]byte
	MRSIGNERSEAM   [48]byte
	SEAMAttributes uint64
	Attributes     uint64
	XFAM           uint64
	MRTD           [48]byte
	MRCONFIGID     [48]byte
	MROWNER        [48]byte
	MROWNERCONFIG  [48]byte
	RTMR           [4][48]byte
	ReportData     [64]byte
	// TDX 1.5 only:
	TCBSVN2     [16]byte
	MRSERVICETD [48]byte
}

// Encode returns the report body for a body type.
func (t TD) Encode(body uint16) []byte {
	le := binary.LittleEndian
	out := append([]byte(nil), t.TCBSVN[:]...)
	out = append(out, t.MRSEAM[:]...)
	out = append(out, t.MRSIGNERSEAM[:]...)
	out = le.AppendUint64(out, t.SEAMAttributes)
	out = le.AppendUint64(out, t.Attributes)
	out = le.AppendUint64(out, t.XFAM)
	for _, m := range [][48]byte{t.MRTD, t.MRCONFIGID, t.MROWNER, t.MROWNERCONFIG, t.RTMR[0], t.RTMR[1], t.RTMR[2], t.RTMR[3]} {
		out = append(out, m[:]...)
	}
	out = append(out, t.ReportData[:]...)
	if body == BodyTDX15 {
		out = append(out, t.TCBSVN2[:]...)
		out = append(out, t.MRSERVICETD[:]...)
	}
	return out
}

// Certification data types (quote, appendix A).
const (
	CertPPIDClear   uint16 = 1
	CertPPIDRSA3072 uint16 = 3
	CertPCKLeaf     uint16 = 4
	CertPCKChain    uint16 = 5
	CertQEReport    uint16 = 6
)

// Quote is a quote in pieces. Every length that the format writes down is that
// of the piece, unless Lengths gives another.
type Quote struct {
	Header   Header
	BodyType uint16 // written in version 5 only
	Body     []byte
	// Signature is r and s over header and body; AttestationKey is x and y.
	Signature, AttestationKey []byte
	// QEReport is the quoting enclave's report body, QESignature that of the PCK
	// over it, QEAuth what the report data bind beside the key.
	QEReport, QESignature, QEAuth []byte
	CertType                      uint16
	CertData                      []byte
	// OuterType is the certification data that hold all from QEReport on, since
	// version 4.
	OuterType uint16
	Lengths   Lengths
	Trailing  []byte // behind the quote
}

// Lengths are written instead of the true ones where they are not nil.
type Lengths struct {
	Body, Auth, Outer, Cert *uint32
	QEAuth                  *uint16
}

func or[T any](given *T, own T) T {
	if given != nil {
		return *given
	}
	return own
}

// Signed returns what the attestation key signs: the header and the body, in
// version 5 with the descriptor between them.
func (q Quote) Signed() []byte {
	out := q.Header.Encode()
	if q.Header.Version >= 5 {
		out = binary.LittleEndian.AppendUint16(out, q.BodyType)
		out = binary.LittleEndian.AppendUint32(out, or(q.Lengths.Body, uint32(len(q.Body))))
	}
	return append(out, q.Body...)
}

// Encode returns the quote.
func (q Quote) Encode() []byte {
	le := binary.LittleEndian
	qe := append([]byte(nil), q.QEReport...)
	qe = append(qe, q.QESignature...)
	qe = le.AppendUint16(qe, or(q.Lengths.QEAuth, uint16(len(q.QEAuth))))
	qe = append(qe, q.QEAuth...)
	qe = le.AppendUint16(qe, q.CertType)
	qe = le.AppendUint32(qe, or(q.Lengths.Cert, uint32(len(q.CertData))))
	qe = append(qe, q.CertData...)

	auth := append(append([]byte(nil), q.Signature...), q.AttestationKey...)
	if q.Header.Version >= 4 {
		auth = le.AppendUint16(auth, q.OuterType)
		auth = le.AppendUint32(auth, or(q.Lengths.Outer, uint32(len(qe))))
	}
	auth = append(auth, qe...)

	out := le.AppendUint32(q.Signed(), or(q.Lengths.Auth, uint32(len(auth))))
	out = append(out, auth...)
	return append(out, q.Trailing...)
}

// Binding returns the report data by which a quoting enclave vouches for an
// attestation key.
func Binding(attestationKey, auth []byte) (out [64]byte) {
	sum := sha256.Sum256(append(append([]byte(nil), attestationKey...), auth...))
	copy(out[:], sum[:])
	return out
}

// Sign fills in the attestation key, the QE report that binds it, and both
// signatures.
func (q *Quote) Sign(qe Enclave, attestation, pck *ecdsa.PrivateKey) error {
	var err error
	if q.AttestationKey, err = RawPublic(attestation); err != nil {
		return err
	}
	qe.ReportData = Binding(q.AttestationKey, q.QEAuth)
	return q.SignAs(qe, attestation, pck)
}

// SignAs is Sign for a QE report as it is, whatever it binds.
func (q *Quote) SignAs(qe Enclave, attestation, pck *ecdsa.PrivateKey) error {
	var err error
	if q.AttestationKey, err = RawPublic(attestation); err != nil {
		return err
	}
	q.QEReport = qe.Encode()
	if q.QESignature, err = RawSign(pck, q.QEReport); err != nil {
		return err
	}
	q.Signature, err = RawSign(attestation, q.Signed())
	return err
}
