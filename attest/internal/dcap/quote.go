package dcap

// Header is the head of a quote.
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
	signature      [64]byte
	attestationKey [64]byte
	qeReport       []byte // as signed by the PCK
	qeSignature    [64]byte
	qeAuth         []byte
}

// EnclaveReport is an SGX report body, 384 bytes (Intel SDM 3D, REPORT).
type EnclaveReport struct {
	CPUSVN       [16]byte
	MiscSelect   uint32
	ISVExtProdID [16]byte
	Attributes   uint64 // flags
	XFRM         uint64
	MRENCLAVE    [32]byte
	MRSIGNER     [32]byte
	ConfigID     [64]byte
	ISVProdID    uint16
	ISVSVN       uint16
	ConfigSVN    uint16
	ISVFamilyID  [16]byte
	ReportData   [64]byte
}

// TDReport is a TD report body, 584 bytes; 648 with the last two fields, which
// only TDX 1.5 has (Quote.BodyType).
type TDReport struct {
	TEETCBSVN      [16]byte
	MRSEAM         [48]byte
	MRSIGNERSEAM   [48]byte
	SEAMAttributes uint64
	TDAttributes   uint64
	XFAM           uint64
	MRTD           [48]byte
	MRCONFIGID     [48]byte
	MROWNER        [48]byte
	MROWNERCONFIG  [48]byte
	RTMR           [4][48]byte
	ReportData     [64]byte
	TEETCBSVN2     [16]byte // of the module that runs now
	MRSERVICETD    [48]byte
}
