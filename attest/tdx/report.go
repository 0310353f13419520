package tdx

// Report is the part of the quote that describes the trust domain: TD report
// 1.0 (584 bytes) or 1.5 (648 bytes). All values are as the TDX module wrote
// them.
type Report struct {
	// TEETCBSVN are the security versions of the TDX module under which the trust
	// domain was made: minor and major version in bytes 0 and 1.
	TEETCBSVN      [16]byte
	MRSEAM         [48]byte // measurement of the TDX module
	MRSIGNERSEAM   [48]byte // its signer; zero for Intel
	SEAMAttributes uint64   // zero for a module of Intel's
	Attributes     Attributes
	XFAM           XFAM
	MRTD           [48]byte    // measurement of the trust domain as it was built
	MRCONFIGID     [48]byte    // chosen by the host at launch: what runs on top
	MROWNER        [48]byte    // chosen by the host at launch
	MROWNERCONFIG  [48]byte    // chosen by the host at launch
	RTMR           [4][48]byte // registers that the guest extends
	ReportData     [64]byte

	// HasExtension says that this is a TD report 1.5, with the two fields below.
	HasExtension bool
	TEETCBSVN2   [16]byte // of the TDX module that runs now
	MRSERVICETD  [48]byte // hash of the service trust domains that are bound to this one; zero if none
}
