package amdforge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// VEK is a key that signs reports, VCEK or VLEK, with its certificate.
type VEK struct {
	DER []byte
	Key *ecdsa.PrivateKey
}

// VEKOptions say what a VEK certificate holds. Line, TCB, the two times and
// one of HWID and CSPID must be set; other zero fields mean AMD's value.
type VEKOptions struct {
	Line                Line
	TCB                 TCB
	NotBefore, NotAfter time.Time
	// VLEK makes the certificate of a cloud provider's key rather than a chip's.
	VLEK bool
	// HWID is in a VCEK, 64 bytes, or 8 on Turin.
	HWID []byte
	// CSPID is in a VLEK.
	CSPID string
	// ProductName is "Milan-B0" in a Milan VCEK, else the line's name.
	ProductName string
	// CommonName is SEV-VCEK or SEV-VLEK.
	CommonName                       string
	Organization, OrganizationalUnit string
	// Serial is 0 in every certificate that AMD issues.
	Serial *big.Int
	// Curve is P-384.
	Curve elliptic.Curve
	// Key is used instead of making a new one.
	Key *ecdsa.PrivateKey
	// Edit may change the certificate before it is signed; AMD's extensions
	// are in ExtraExtensions.
	Edit func(template *x509.Certificate)
}

// VEK issues the key's certificate from the ASK or, for a VLEK, the ASVK.
func (c *Chain) VEK(o VEKOptions) (*VEK, error) {
	if o.VLEK {
		return c.ASVK.IssueVEK(o)
	}
	return c.ASK.IssueVEK(o)
}

// IssueVEK issues a VEK certificate, whether this CA ought to or not.
func (ca *CA) IssueVEK(o VEKOptions) (*VEK, error) {
	key := o.Key
	if key == nil {
		curve := o.Curve
		if curve == nil {
			curve = elliptic.P384()
		}
		var err error
		if key, err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			return nil, fmt.Errorf("amdforge: make VEK key: %w", err)
		}
	}
	raw, err := ca.CertifyVEK(o, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &VEK{DER: raw, Key: key}, nil
}

// CertifyVEK issues a VEK certificate for any public key.
func (ca *CA) CertifyVEK(o VEKOptions, public any) ([]byte, error) {
	template := o.template()
	if o.Edit != nil {
		o.Edit(template)
	}
	// AMD's leaves carry no authority key identifier.
	issuer := &x509.Certificate{RawSubject: ca.Cert.RawSubject, Subject: ca.Cert.Subject}
	return create(template, issuer, public, ca.Key)
}

func (o VEKOptions) template() *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: o.Serial,
		NotBefore:    o.NotBefore, NotAfter: o.NotAfter,
		ExtraExtensions: o.extensions(),
	}
	if t.SerialNumber == nil {
		t.SerialNumber = new(big.Int)
	}
	name := o.CommonName
	switch {
	case name != "":
	case o.VLEK:
		name = "SEV-VLEK"
	default:
		name = "SEV-VCEK"
	}
	setSubject(t, o.Organization, o.OrganizationalUnit, name)
	return t
}

// Object identifiers under AMD's arc (AMD 57230, table 9).
var (
	OIDStructVersion = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 1}
	OIDProductName   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 2}
	OIDHWID          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 4}
	OIDCSPID         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 5}
)

// OIDSPL returns the identifier of a security patch level: 1 boot loader, 2
// TEE, 3 SNP, 4 to 7 reserved, 8 microcode, 9 FMC.
func OIDSPL(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 3, n}
}

// extensions are in the order of AMD's own certificates. Turin's struct version
// 1 has an FMC level and one reserved level less.
func (o VEKOptions) extensions() []pkix.Extension {
	version, levels := uint8(0), []level{
		{1, o.TCB.Bootloader}, {2, o.TCB.TEE}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {3, o.TCB.SNP}, {8, o.TCB.Microcode},
	}
	if o.Line == Turin {
		version, levels = 1, []level{
			{9, o.TCB.FMC}, {1, o.TCB.Bootloader}, {2, o.TCB.TEE}, {3, o.TCB.SNP}, {5, 0}, {6, 0}, {7, 0}, {8, o.TCB.Microcode},
		}
	}
	exts := []pkix.Extension{
		{Id: OIDStructVersion, Value: Integer(version)},
		{Id: OIDProductName, Value: IA5(o.productName())},
	}
	for _, l := range levels {
		exts = append(exts, pkix.Extension{Id: OIDSPL(l.spl), Value: Integer(l.value)})
	}
	if o.VLEK {
		return append(exts, pkix.Extension{Id: OIDCSPID, Value: IA5(o.CSPID)})
	}
	// The hardware id is bare bytes in the extension, not an OCTET STRING.
	return append(exts, pkix.Extension{Id: OIDHWID, Value: o.HWID})
}

// level is one security patch level and the last arc of its identifier.
type level struct {
	spl   int
	value uint8
}

func (o VEKOptions) productName() string {
	switch {
	case o.ProductName != "":
		return o.ProductName
	case o.Line == Milan && !o.VLEK:
		return "Milan-B0"
	}
	return o.Line.String()
}

// SetExtension replaces the value of an extension of a template, or adds it. A
// nil value removes it.
func SetExtension(t *x509.Certificate, id asn1.ObjectIdentifier, value []byte) {
	var out []pkix.Extension
	done := value == nil
	for _, e := range t.ExtraExtensions {
		if !e.Id.Equal(id) {
			out = append(out, e)
			continue
		}
		if !done {
			out = append(out, pkix.Extension{Id: id, Value: value})
			done = true
		}
	}
	if !done {
		out = append(out, pkix.Extension{Id: id, Value: value})
	}
	t.ExtraExtensions = out
}
