package dcap

// EnclaveReport is an SGX report body, 384 bytes (Intel SDM volume 3D, table
// "REPORT"; Quote Library Reference, A.4).
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

// read takes the fields in the order in which they stand; a reserved field is
// named by its offset in the report.
func (e *EnclaveReport) read(r *reader) {
	r.fill("CPUSVN", e.CPUSVN[:])
	e.MiscSelect = r.uint32("MISCSELECT")
	r.zeros("reserved field 20 of the report", 12)
	r.fill("ISVEXTPRODID", e.ISVExtProdID[:])
	e.Attributes = r.uint64("ATTRIBUTES")
	e.XFRM = r.uint64("XFRM")
	r.fill("MRENCLAVE", e.MRENCLAVE[:])
	r.zeros("reserved field 96 of the report", 32)
	r.fill("MRSIGNER", e.MRSIGNER[:])
	r.zeros("reserved field 160 of the report", 32)
	r.fill("CONFIGID", e.ConfigID[:])
	e.ISVProdID = r.uint16("ISVPRODID")
	e.ISVSVN = r.uint16("ISVSVN")
	e.ConfigSVN = r.uint16("CONFIGSVN")
	r.zeros("reserved field 262 of the report", 42)
	r.fill("ISVFAMILYID", e.ISVFamilyID[:])
	r.fill("REPORTDATA", e.ReportData[:])
}

// TDReport is a TD report body, 584 bytes; 648 with the last two fields, which
// only TDX 1.5 has (Quote.BodyType). See TDX DCAP Quoting Library API, A.3.2.
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

func (t *TDReport) read(r *reader, is15 bool) {
	r.fill("TEE_TCB_SVN", t.TEETCBSVN[:])
	r.fill("MRSEAM", t.MRSEAM[:])
	r.fill("MRSIGNERSEAM", t.MRSIGNERSEAM[:])
	t.SEAMAttributes = r.uint64("SEAMATTRIBUTES")
	t.TDAttributes = r.uint64("TDATTRIBUTES")
	t.XFAM = r.uint64("XFAM")
	r.fill("MRTD", t.MRTD[:])
	r.fill("MRCONFIGID", t.MRCONFIGID[:])
	r.fill("MROWNER", t.MROWNER[:])
	r.fill("MROWNERCONFIG", t.MROWNERCONFIG[:])
	for i := range t.RTMR {
		r.fill("RTMR", t.RTMR[i][:])
	}
	r.fill("REPORTDATA", t.ReportData[:])
	if is15 {
		r.fill("TEE_TCB_SVN_2", t.TEETCBSVN2[:])
		r.fill("MRSERVICETD", t.MRSERVICETD[:])
	}
}
