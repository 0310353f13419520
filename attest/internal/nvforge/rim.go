package nvforge

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strings"
)

// Resource is one measurement of a manifest.
type Resource struct {
	Index  int
	Active bool
	Values []string // hex
}

// Manifest is a manifest before it is signed. It is written in canonical form, so
// that what is signed is what is written.
type Manifest struct {
	Product, Edition, Version string
	Resources                 []Resource
	// Algorithms of the signature, as XML Signature names them; empty means NVIDIA's.
	C14N, Signature, Digest, Transform string
	// URI of the reference.
	URI string
	// Body changes the document before it is signed, Signed after it.
	Body   func(xml string) string
	Signed func(xml string) string
	// SignedInfo changes what the signature is over before it is made.
	SignedInfo func(xml string) string
	// Source rewrites the document that travels, after the digest was made: another
	// spelling of the same document has the same canonical form.
	Source func(xml string) string
}

const (
	rimHead = `<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" corpus="false" name="%s" patch="false" supplemental="false" tagId="%s" tagVersion="0" version="1.0">`
	rimTail = `</SoftwareIdentity>`
	nsRoot  = ` xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd"`
	nsMore  = ` xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384"`
	nsDSig  = ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`
	nsTCG   = ` xmlns:ns1="https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/"`
)

// text returns the document without its signature.
func (m Manifest) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, rimHead, m.Product, strings.Repeat("5a", 16))
	b.WriteString("\n    <ns0:Entity name=\"Fake NVIDIA\" role=\"softwareCreator tagCreator\"></ns0:Entity>\n")
	fmt.Fprintf(&b, `    <ns0:Meta%s PayloadType="direct" colloquialVersion="%s" edition="%s" product="%s" ns1:BindingSpec="RIMIM"></ns0:Meta>`+"\n", nsTCG, m.Version, m.Edition, m.Product)
	b.WriteString("    <ns0:Payload>\n")
	for _, r := range m.Resources {
		active := "False"
		if r.Active {
			active = "True"
		}
		size := 48
		if len(r.Values) > 0 {
			size = len(r.Values[0]) / 2
		}
		fmt.Fprintf(&b, `        <ns0:Resource active="%s" alternatives="%d" index="%d" name="Measurement_%d" size="%d" type="Measurement"`, active, len(r.Values), r.Index, r.Index, size)
		for i, v := range r.Values {
			fmt.Fprintf(&b, ` ns2:Hash%d="%s"`, i, v)
		}
		b.WriteString("></ns0:Resource>\n")
	}
	b.WriteString("    </ns0:Payload>\n" + rimTail)
	return b.String()
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// SignedInfo returns it as it stands in the document, and its canonical form
// with the namespaces that it inherits.
func (m Manifest) signedInfo(digest []byte) (written, canonical string) {
	c14n := or(m.C14N, "http://www.w3.org/2006/12/xml-c14n11")
	algorithm := func(element, uri string) string {
		return "<ds:" + element + ` Algorithm="` + uri + `"></ds:` + element + ">"
	}
	inner := algorithm("CanonicalizationMethod", c14n) +
		algorithm("SignatureMethod", or(m.Signature, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384")) +
		`<ds:Reference URI="` + m.URI + `"><ds:Transforms>` +
		algorithm("Transform", or(m.Transform, "http://www.w3.org/2000/09/xmldsig#enveloped-signature")) +
		algorithm("Transform", c14n) + "</ds:Transforms>" +
		algorithm("DigestMethod", or(m.Digest, "http://www.w3.org/2001/04/xmldsig-more#sha384")) +
		"<ds:DigestValue>" + base64.StdEncoding.EncodeToString(digest) + "</ds:DigestValue></ds:Reference>"
	if m.SignedInfo != nil {
		inner = m.SignedInfo(inner)
	}
	// Namespaces in the order of their prefixes: none, ds, ns0, ns2.
	return "<ds:SignedInfo>" + inner + "</ds:SignedInfo>", "<ds:SignedInfo" + nsRoot + nsDSig + nsMore + ">" + inner + "</ds:SignedInfo>"
}

// Sign returns the signed document. The chain goes from the signer to the root.
func (m Manifest) Sign(chain ...*CA) ([]byte, error) {
	body := m.text()
	if m.Body != nil {
		body = m.Body(body)
	}
	sum := sha512.Sum384([]byte(body))
	written, canonical := m.signedInfo(sum[:])
	digest := sha512.Sum384([]byte(canonical))
	raw, err := rawSignature(chain[0].Key, digest[:])
	if err != nil {
		return nil, err
	}
	var certs strings.Builder
	for _, c := range chain {
		certs.WriteString("<ds:X509Certificate>" + base64.StdEncoding.EncodeToString(c.Cert.Raw) + "</ds:X509Certificate>")
	}
	signature := "<ds:Signature" + nsDSig + ">" + written +
		"<ds:SignatureValue>" + base64.StdEncoding.EncodeToString(raw) + "</ds:SignatureValue>" +
		"<ds:KeyInfo><ds:X509Data>" + certs.String() + "</ds:X509Data></ds:KeyInfo></ds:Signature>"
	if m.Source != nil {
		body = m.Source(body)
	}
	out := strings.TrimSuffix(body, rimTail) + signature + rimTail
	if m.Signed != nil {
		out = m.Signed(out)
	}
	return []byte(out), nil
}
