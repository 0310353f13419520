package sgx

// Report is the part of the quote that describes the enclave: REPORT without
// its key id and MAC, 384 bytes (SDM volume 3D, "REPORT").
type Report struct {
	CPUSVN       [16]byte
	MiscSelect   MiscSelect
	ISVExtProdID [16]byte // zero without KSS
	Attributes   Attributes
	XFRM         XFRM
	MRENCLAVE    [32]byte // measurement of the enclave
	MRSIGNER     [32]byte // SHA-256 of the key that signed it
	ConfigID     [64]byte // chosen by the host at launch; zero without KSS
	ISVProdID    uint16
	ISVSVN       uint16
	ConfigSVN    uint16
	ISVFamilyID  [16]byte // zero without KSS
	ReportData   [64]byte
}
