package intelforge

// Entry is one of Intel's extensions inside the SGX extension: arcs behind
// 1.2.840.113741.1.13.1 and a value in DER.
type Entry struct {
	Arcs  []int
	Value []byte
}

// Arcs of the entries (PCK Certificate and CRL Profile, 1.3.5).
const (
	ArcPPID          = 1
	ArcTCB           = 2 // .1 to .16 components, .17 PCESVN, .18 CPUSVN
	ArcPCEID         = 3
	ArcFMSPC         = 4
	ArcSGXType       = 5
	ArcPlatformID    = 6
	ArcConfiguration = 7 // .1 dynamic platform, .2 cached keys, .3 SMT enabled
)

func sgxOID(arcs ...int) []int {
	return append([]int{1, 2, 840, 113741, 1, 13, 1}, arcs...)
}

func (e Entry) encode() []byte { return Sequence(OID(sgxOID(e.Arcs...)...), e.Value) }

// EncodeEntries returns a SEQUENCE of entries: the value of the SGX extension,
// of the TCB entry or of the configuration entry.
func EncodeEntries(entries []Entry) []byte {
	var parts [][]byte
	for _, e := range entries {
		parts = append(parts, e.encode())
	}
	return Sequence(parts...)
}

// SGXExtension returns the extension with these entries.
func SGXExtension(entries []Entry) Extension {
	return Extension{sgxOID(), false, EncodeEntries(entries)}
}

// PCKFacts is what a PCK certificate says about a processor package.
type PCKFacts struct {
	PPID       []byte // 16
	Components [16]byte
	PCESVN     uint16
	CPUSVN     []byte // 16
	PCEID      []byte // 2
	FMSPC      []byte // 6
	SGXType    byte
	PlatformID []byte // 16; nil for a Processor CA's
	// Configuration are the three flags of arcs 7.1 to 7.3; nil for none.
	Configuration []bool
}

// TCBEntries returns the entries of the TCB entry, in Intel's order.
func (p PCKFacts) TCBEntries() []Entry {
	var out []Entry
	for i, svn := range p.Components {
		out = append(out, Entry{[]int{ArcTCB, i + 1}, Integer(svn)})
	}
	return append(out,
		Entry{[]int{ArcTCB, 17}, Integer(byte(p.PCESVN>>8), byte(p.PCESVN))},
		Entry{[]int{ArcTCB, 18}, Octets(p.CPUSVN)})
}

// Entries returns all entries, in Intel's order. A caller may drop, double or
// change any before encoding them.
func (p PCKFacts) Entries() []Entry {
	out := []Entry{
		{[]int{ArcPPID}, Octets(p.PPID)},
		{[]int{ArcTCB}, EncodeEntries(p.TCBEntries())},
		{[]int{ArcPCEID}, Octets(p.PCEID)},
		{[]int{ArcFMSPC}, Octets(p.FMSPC)},
		{[]int{ArcSGXType}, Enumerated(p.SGXType)},
	}
	if p.PlatformID != nil {
		out = append(out, Entry{[]int{ArcPlatformID}, Octets(p.PlatformID)})
	}
	if p.Configuration != nil {
		out = append(out, Entry{[]int{ArcConfiguration}, EncodeEntries(p.configuration())})
	}
	return out
}

func (p PCKFacts) configuration() []Entry {
	var out []Entry
	for i, flag := range p.Configuration {
		out = append(out, Entry{[]int{ArcConfiguration, i + 1}, Boolean(flag)})
	}
	return out
}
