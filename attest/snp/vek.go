package snp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// endorsementKey is a VCEK or VLEK certificate, read but not yet trusted.
type endorsementKey struct {
	cert *x509.Certificate
	key  *ecdsa.PublicKey // nil if it is not a P-384 key
	ext  *vekExtensions   // nil if they are malformed
}

// vekExtensions are AMD's extensions of a VCEK or VLEK certificate: the facts
// that AMD certifies about the key.
type vekExtensions struct {
	product Product
	signer  Signer
	tcb     TCB
	hwid    []byte // VCEK only; shares memory with the certificate
	csp     string // VLEK only
}

// readVEK parses a certificate and returns it, nil if it is none. It appends the
// checks of its form to checks.
func readVEK(der []byte, checks []attest.Check) (*endorsementKey, []attest.Check) {
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, append(checks, judge("hardware.vek", false, attest.CodeMalformed, err.Error(), "one VCEK or VLEK certificate in DER"))
	}
	k := &endorsementKey{cert: cert}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P384() {
		k.key = key
	}
	checks = append(checks,
		judge("hardware.vek", true, "", pki.Brief(cert.Subject.CommonName)+" issued by "+pki.Brief(cert.Issuer.CommonName), ""),
		judge("hardware.vek_key", k.key != nil, CodeBadKey, pki.KeyKind(cert), "ECDSA P-384"),
		checkLeaf(cert))
	ext, err := parseVEKExtensions(cert.Extensions)
	if err != nil {
		return k, append(checks, judge("hardware.vek_extensions", false, attest.CodeMalformed, err.Error(), "AMD's extensions, each once"))
	}
	k.ext = ext
	return k, append(checks, judge("hardware.vek_extensions", true, "", ext.String(), ""))
}

// checkLeaf refuses a certificate that could issue others, or that carries a
// constraint this package would not enforce.
func checkLeaf(cert *x509.Certificate) attest.Check {
	const name, expected = "hardware.vek_usage", "a certificate that signs reports and issues none"
	bad := ""
	switch {
	case cert.IsCA:
		bad = "is a CA"
	case cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		bad = "key usage of a CA"
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		bad = "key usage without digital signatures"
	case len(cert.UnhandledCriticalExtensions) != 0:
		bad = fmt.Sprintf("critical extension %v is not understood", cert.UnhandledCriticalExtensions[0])
	}
	if bad != "" {
		return judge(name, false, attest.CodeBadChain, bad, expected)
	}
	return judge(name, true, "", "issues no certificates", expected)
}

// String returns the facts in one line.
func (e *vekExtensions) String() string {
	if e.signer == SignerVLEK {
		return "VLEK of " + pki.Brief(e.csp) + " for " + e.product.String() + ", TCB " + e.tcb.String()
	}
	return "VCEK of chip " + briefHex(e.hwid) + " for " + e.product.String() + ", TCB " + e.tcb.String()
}

// briefHex returns the first bytes in hex, enough to recognise a value by.
func briefHex(b []byte) string {
	if len(b) > 8 {
		return string(append(hex.AppendEncode(make([]byte, 0, 20), b[:8]), "..."...))
	}
	return hex.EncodeToString(b)
}

// amdArc is the prefix of AMD's extensions, 1.3.6.1.4.1.3704.1 (AMD 57230,
// table of extensions). What follows it is: 1 structure version, 2 product name,
// 3.n security patch levels, 4 hardware id, 5 cloud provider.
var amdArc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}

// Last arcs of the security patch levels. 4 to 7 are reserved; Turin has 9 and
// no 4.
const (
	splBootloader = 1
	splTEE        = 2
	splSNP        = 3
	splMicrocode  = 8
	splFMC        = 9
)

// amdExtensions is a set of AMD's extensions by their arcs behind amdArc, the
// patch levels apart from the others.
type amdExtensions struct {
	plain  [csp + 1]member
	levels [splFMC + 1]member
}

// Last arcs of the extensions that are no patch levels.
const (
	structVersion = 1
	productName   = 2
	hardwareID    = 4
	csp           = 5
)

// member is one extension, if it is there.
type member struct {
	given bool
	value []byte
	level uint8 // of a patch level
}

func (m *member) set(x pkix.Extension) error {
	if m.given {
		return fmt.Errorf("extension %v given twice", x.Id)
	}
	m.given, m.value = true, x.Value
	return nil
}

func parseVEKExtensions(exts []pkix.Extension) (*vekExtensions, error) {
	set, err := collectAMDExtensions(exts)
	if err != nil {
		return nil, err
	}
	version, err := derUint8(set.plain[structVersion].value)
	if err != nil || version > 1 {
		return nil, fmt.Errorf("structure version %x, expected 0 or 1", set.plain[structVersion].value)
	}
	name, err := derIA5(set.plain[productName].value)
	if err != nil {
		return nil, fmt.Errorf("product name: %w", err)
	}
	e := &vekExtensions{}
	if e.product, err = productOfCertificate(name); err != nil {
		return nil, err
	}
	if e.tcb, err = set.tcb(e.product); err != nil {
		return nil, err
	}
	return e, set.identity(e)
}

// collectAMDExtensions sorts the extensions by number. It refuses a second one
// of a number and every number it does not know, since it might restrict what
// the key is good for.
func collectAMDExtensions(exts []pkix.Extension) (amdExtensions, error) {
	var set amdExtensions
	for _, x := range exts {
		if len(x.Id) < len(amdArc) || !x.Id[:len(amdArc)].Equal(amdArc) {
			continue
		}
		if err := set.add(x, x.Id[len(amdArc):]); err != nil {
			return amdExtensions{}, err
		}
	}
	return set, nil
}

func (s *amdExtensions) add(x pkix.Extension, tail []int) error {
	switch {
	case len(tail) == 1 && (tail[0] == structVersion || tail[0] == productName || tail[0] == hardwareID || tail[0] == csp):
		return s.plain[tail[0]].set(x)
	case len(tail) == 2 && tail[0] == 3 && tail[1] >= splBootloader && tail[1] <= splFMC:
		m := &s.levels[tail[1]]
		if err := m.set(x); err != nil {
			return err
		}
		level, err := derUint8(x.Value)
		if err != nil {
			return fmt.Errorf("extension %v: %w", x.Id, err)
		}
		m.level = level
		return nil
	}
	return fmt.Errorf("extension %v is not understood", x.Id)
}

// tcb reads the patch levels. All of a product's levels must be there, and the
// reserved ones must be zero as they are in the report.
func (s *amdExtensions) tcb(p Product) (TCB, error) {
	required := [...]int{splBootloader, splTEE, splSNP, 4, 5, 6, 7, splMicrocode}
	if p == Turin {
		required = [...]int{splFMC, splBootloader, splTEE, splSNP, 5, 6, 7, splMicrocode}
	}
	for _, n := range required {
		if !s.levels[n].given {
			return TCB{}, fmt.Errorf("patch level %v.3.%d is missing", amdArc, n)
		}
	}
	for n := 4; n <= 7; n++ {
		if level := s.levels[n].level; level != 0 {
			return TCB{}, fmt.Errorf("reserved patch level %v.3.%d is %d, expected 0", amdArc, n, level)
		}
	}
	if s.levels[splFMC].given && p != Turin {
		return TCB{}, fmt.Errorf("patch level %v.3.%d (FMC) on %s, expected on Turin only", amdArc, splFMC, p)
	}
	return TCB{
		FMC: s.levels[splFMC].level, Bootloader: s.levels[splBootloader].level, TEE: s.levels[splTEE].level,
		SNP: s.levels[splSNP].level, Microcode: s.levels[splMicrocode].level,
	}, nil
}

// identity reads whose key it is: a chip's or a cloud provider's, never both.
func (s *amdExtensions) identity(e *vekExtensions) error {
	chip, provider := s.plain[hardwareID], s.plain[csp]
	if chip.given == provider.given {
		return fmt.Errorf("hardware id given: %t, cloud provider given: %t, expected exactly one", chip.given, provider.given)
	}
	if provider.given {
		name, err := derIA5(provider.value)
		if err != nil {
			return fmt.Errorf("cloud provider: %w", err)
		}
		e.signer, e.csp = SignerVLEK, name
		return nil
	}
	hwid, size := chip.value, 64
	if e.product == Turin {
		size = turinChipID
	}
	// The id is bare bytes; AMD's table calls it an OCTET STRING, so accept it
	// in that wrapping too. The lengths keep the two apart.
	if len(hwid) == size+2 && hwid[0] == asn1.TagOctetString && int(hwid[1]) == size {
		hwid = hwid[2:]
	}
	if len(hwid) != size {
		return fmt.Errorf("hardware id of %d bytes, expected %d for %s", len(hwid), size, e.product)
	}
	e.signer, e.hwid = SignerVCEK, hwid
	return nil
}

// derUint8 reads a DER INTEGER from 0 to 255 in its only encoding.
func derUint8(b []byte) (uint8, error) {
	switch {
	case len(b) == 3 && b[0] == asn1.TagInteger && b[1] == 1 && b[2] < 0x80:
		return b[2], nil
	case len(b) == 4 && b[0] == asn1.TagInteger && b[1] == 2 && b[2] == 0 && b[3] >= 0x80:
		return b[3], nil
	}
	return 0, fmt.Errorf("%s, expected a DER INTEGER from 0 to 255", briefHex(b))
}

// derIA5 reads a DER IA5String of 1 to 127 printable characters.
func derIA5(b []byte) (string, error) {
	if len(b) < 3 || len(b) > 129 || b[0] != asn1.TagIA5String || int(b[1]) != len(b)-2 {
		return "", fmt.Errorf("%s, expected a DER IA5String of 1 to 127 characters", briefHex(b))
	}
	for _, c := range b[2:] {
		if c < 0x20 || c > 0x7e {
			return "", fmt.Errorf("%s, expected printable characters", briefHex(b))
		}
	}
	return string(b[2:]), nil
}
