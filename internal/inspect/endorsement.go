package inspect

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

const specX509 = "RFC 5280"

// Endorsement shows one endorsement by its label.
func Endorsement(e attest.Endorsement) []Section {
	var out []Section
	switch {
	case e.Label == attest.LabelSNPCertTable:
		return certTable(e.Label, e.Data)
	case e.Label == attest.LabelEventLog:
		return []Section{eventLog(e.Label, e.Data)}
	case strings.HasPrefix(e.Label, attest.LabelNVIDIARIM):
		return []Section{xmlText(e.Label, "TCG Reference Integrity Manifest, ISO/IEC 19770-2 SWID tag", e.Data)}
	case strings.HasPrefix(e.Label, attest.LabelNVIDIAOCSP):
		return []Section{derTree(e.Label, "RFC 6960, 4.2.1, OCSPResponse", e.Data)}
	}
	out, _ = Loose(e.Label, e.Data)
	return out
}

// Loose shows a file that is no evidence by its format: certificates, a CRL,
// JSON, XML. It reports whether it knew the format.
func Loose(title string, data []byte) ([]Section, bool) {
	trimmed := bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN")):
		return certificates(title, data), true
	case bytes.HasPrefix(trimmed, []byte("{")) || bytes.HasPrefix(trimmed, []byte("[")):
		return []Section{jsonText(title, "", data, collateralMeanings)}, true
	case bytes.HasPrefix(trimmed, []byte("<")):
		return []Section{xmlText(title, "", data)}, true
	case len(data) > 0 && data[0] == 0x30:
		if crl, err := x509.ParseRevocationList(data); err == nil {
			return []Section{revocationList(title, data, crl)}, true
		}
		if cert, err := x509.ParseCertificate(data); err == nil {
			return []Section{certificate(title, data, cert)}, true
		}
		return []Section{derTree(title, "ITU-T X.690", data)}, true
	case isEventLog(data):
		return []Section{eventLog(title, data)}, true
	case isStatement(data):
		return []Section{statement(data)}, true
	}
	return []Section{{Title: title, Size: len(data), Problem: "no format that is known here"}}, false
}

// certificates shows what is in DER or in PEM blocks.
func certificates(title string, data []byte) []Section {
	if len(data) > 0 && data[0] == 0x30 {
		out, _ := Loose(title, data)
		return out
	}
	var out []Section
	rest := data
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || len(out) == 64 {
			break
		}
		part, _ := Loose(fmt.Sprintf("%s, %d", title, len(out)+1), block.Bytes)
		out = append(out, part...)
	}
	if len(out) == 0 {
		return []Section{{Title: title, Spec: specX509, Size: len(data), Problem: "no PEM block"}}
	}
	if left := bytes.Trim(rest, " \t\r\n\x00"); len(left) > 0 {
		out[len(out)-1].Problem = fmt.Sprintf("%d bytes after the last PEM block", len(left))
	}
	return out
}

func certificate(title string, der []byte, cert *x509.Certificate) Section {
	s := Section{Title: title + ", certificate", Spec: specX509, Size: len(der)}
	add := func(name, value, meaning string) {
		s.Fields = append(s.Fields, Field{Offset: -1, Name: name, Value: clip(value), Meaning: meaning})
	}
	add("subject", cert.Subject.String(), "")
	add("issuer", cert.Issuer.String(), "")
	add("serial", cert.SerialNumber.Text(16), "hex")
	add("not_before", date(cert.NotBefore), "")
	add("not_after", date(cert.NotAfter), "")
	add("public_key", publicKey(cert), "")
	add("signature_algorithm", cert.SignatureAlgorithm.String(), "of the issuer")
	add("ca", fmt.Sprint(cert.IsCA), "whether it may issue certificates")
	for _, url := range cert.CRLDistributionPoints {
		add("crl", url, "where the issuer publishes what it withdrew")
	}
	for _, e := range cert.Extensions {
		meaning := extensionNames[e.Id.String()]
		if e.Critical {
			meaning = strings.TrimSpace(meaning + " (critical)")
		}
		add("extension "+e.Id.String(), inHex(e.Value), meaning)
	}
	add("sha256", fmt.Sprintf("%x", sha256.Sum256(der)), "of the whole certificate")
	return s
}

var extensionNames = map[string]string{
	"2.5.29.14": "subject key identifier", "2.5.29.15": "key usage", "2.5.29.17": "subject alternative name", "2.5.29.19": "basic constraints", "2.5.29.31": "CRL distribution points",
	"2.5.29.32": "certificate policies", "2.5.29.35": "authority key identifier", "2.5.29.37": "extended key usage",
	"1.3.6.1.4.1.3704.1.1": "AMD: version", "1.3.6.1.4.1.3704.1.2": "AMD: product name", "1.3.6.1.4.1.3704.1.3.1": "AMD: boot loader version", "1.3.6.1.4.1.3704.1.3.2": "AMD: TEE version",
	"1.3.6.1.4.1.3704.1.3.3": "AMD: SNP version", "1.3.6.1.4.1.3704.1.3.4": "AMD: reserved version", "1.3.6.1.4.1.3704.1.3.5": "AMD: reserved version", "1.3.6.1.4.1.3704.1.3.6": "AMD: reserved version",
	"1.3.6.1.4.1.3704.1.3.7": "AMD: reserved version", "1.3.6.1.4.1.3704.1.3.8": "AMD: microcode version", "1.3.6.1.4.1.3704.1.3.9": "AMD: FMC version", "1.3.6.1.4.1.3704.1.4": "AMD: hardware id",
	"1.3.6.1.4.1.3704.1.5": "AMD: cloud provider", "1.2.840.113741.1.13.1": "Intel: PPID, TCB, PCEID, FMSPC, type and platform of the SGX chip", "2.23.133.5.4.1": "TCG DICE: firmware id (TcbInfo)",
}

func publicKey(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	}
	return cert.PublicKeyAlgorithm.String()
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func revocationList(title string, der []byte, crl *x509.RevocationList) Section {
	s := Section{Title: title + ", certificate revocation list", Spec: specX509 + ", 5", Size: len(der)}
	add := func(name, value, meaning string) {
		s.Fields = append(s.Fields, Field{Offset: -1, Name: name, Value: clip(value), Meaning: meaning})
	}
	add("issuer", crl.Issuer.String(), "")
	if crl.Number != nil {
		add("number", crl.Number.String(), "rises with each list")
	}
	add("this_update", date(crl.ThisUpdate), "")
	add("next_update", date(crl.NextUpdate), "after it the list is stale")
	add("signature_algorithm", crl.SignatureAlgorithm.String(), "")
	add("entries", fmt.Sprint(len(crl.RevokedCertificateEntries)), "withdrawn certificates")
	for i, e := range crl.RevokedCertificateEntries {
		if i == 1000 {
			s.Problem = "more than 1000 entries, the rest is not shown"
			break
		}
		add("revoked", e.SerialNumber.Text(16)+" at "+date(e.RevocationTime), "serial number, hex")
	}
	return s
}

// derTree shows each value of DER under its path. It is for what has no table
// of its own.
func derTree(title, spec string, data []byte) Section {
	c := read(title, spec, data)
	c.der("", data, 0, 0)
	c.at = len(data)
	return c.section()
}

func (c *cursor) der(path string, data []byte, base, depth int) {
	for i := 0; len(data) > 0 && c.ok(); i++ {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(data, &v)
		if err != nil || depth > maxDepth {
			c.fail("no DER at %#x", base)
			return
		}
		name := fmt.Sprintf("%s[%d]", path, i)
		head := len(v.FullBytes) - len(v.Bytes)
		f := Field{Offset: base, Size: len(v.FullBytes), Name: name, Value: derValue(v)}
		c.add(f)
		if v.IsCompound {
			c.der(name, v.Bytes, base+head, depth+1)
		} else if v.Tag == asn1.TagOctetString && len(v.Bytes) > 2 && v.Bytes[0] == 0x30 && int(v.Bytes[1]) != 0 {
			if rest, err := asn1.Unmarshal(v.Bytes, new(asn1.RawValue)); err == nil && len(rest) == 0 {
				c.der(name, v.Bytes, base+head, depth+1)
			}
		}
		base += len(v.FullBytes)
		data = rest
	}
}

func derValue(v asn1.RawValue) string {
	switch {
	case v.Class == asn1.ClassContextSpecific && v.IsCompound:
		return fmt.Sprintf("[%d] of %d bytes", v.Tag, len(v.Bytes))
	case v.Class != asn1.ClassUniversal:
		return fmt.Sprintf("[%d] %s", v.Tag, hex.EncodeToString(v.Bytes))
	case v.IsCompound:
		return fmt.Sprintf("constructed, %d bytes", len(v.Bytes))
	}
	switch v.Tag {
	case asn1.TagOID:
		var id asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(v.FullBytes, &id); err == nil {
			return "OID " + id.String()
		}
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagGeneralizedTime, asn1.TagUTCTime:
		return text(v.Bytes)
	}
	return hex.EncodeToString(v.Bytes)
}
