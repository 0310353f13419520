package nitro

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Limits that AWS documents (NSM 2.2, 3.1, 3.2.2.2), and ours where it names none.
const (
	MaxPCRs      = 32
	PCRSize      = 48 // SHA-384, the only digest in use
	MaxUserData  = 512
	MaxNonce     = 512
	MaxPublicKey = 1024

	maxPayload     = 16384
	maxCertificate = 1024
	maxBundle      = 8 // AWS uses 4
	maxModuleID    = 128
	maxKey         = 64
	maxFields      = 9
	maxProtected   = 64
	signatureSize  = 96 // r and s of P-384 (RFC 9053, section 2.1)
	// maxDocument is the payload and what COSE puts around it.
	maxDocument = maxPayload + 256
)

// digestSHA384 is the only value of the field digest (NSM 3.2.2.2).
const digestSHA384 = "SHA384"

// PCR is the value of one register.
type PCR [PCRSize]byte

// IsZero reports whether nothing was ever measured into the register. All code
// registers of an enclave in debug mode are so.
func (p PCR) IsZero() bool { return p == PCR{} }

// Document is what an enclave's hypervisor says about it (NSM 2.2).
type Document struct {
	// ModuleID names the enclave: its instance's id, "-enc" and a number.
	ModuleID string
	// Timestamp is when the document was made, by the hypervisor's clock, to the
	// millisecond.
	Timestamp time.Time
	// PCRs are the registers that were locked when the document was made, by
	// index, 0 to 31.
	PCRs map[int]PCR
	// Certificate is that of the key that signed the document, DER.
	Certificate []byte
	// CABundle are its issuers, DER, the root first.
	CABundle [][]byte
	// PublicKey, UserData and Nonce are the enclave's own words. Nil means that
	// there is none, which is not the same as an empty one.
	PublicKey, UserData, Nonce []byte

	payload, signature []byte
}

// Debug reports whether the enclave runs in debug mode, in which its console is
// readable from outside: the hypervisor then measures nothing into PCR0, 1 and
// 2. One register alone is enough to say so, since no real image has such a
// digest.
func (d *Document) Debug() bool {
	for i := range codePCRs {
		if d.PCRs[i].IsZero() {
			return true
		}
	}
	return false
}

// codePCRs is the number of registers that measure code, from PCR0 on: the
// image, kernel with bootstrap, application.
const codePCRs = 3

// protectedES384 is the only protected header: {1: -35}, algorithm ES384 (RFC
// 9053, section 2.1).
func protectedES384() []byte { return []byte{0xa1, 0x01, 0x38, 0x22} }

// ParseDocument reads a signed document: one untagged COSE_Sign1 (RFC 9052,
// section 4.2) and nothing after it. It does not verify the signature. The result
// shares no memory with data.
func ParseDocument(data []byte) (*Document, error) {
	d, p := parse(data)
	if p != nil {
		return nil, p
	}
	return d, nil
}

// Split returns the document that data begins with, as it stands there, and
// what follows it. It is for files that hold more than one document's bytes: a
// Verifier takes a document alone.
func Split(data []byte) (document, rest []byte, err error) {
	r := &reader{data: data}
	readSign1(r)
	if r.err != nil {
		return nil, nil, r.err
	}
	return data[:r.at:r.at], data[r.at:], nil
}

func parse(data []byte) (*Document, *problem) {
	if len(data) > maxDocument {
		return nil, &problem{attest.CodeTooLarge, fmt.Sprintf("document of %d bytes, the limit is %d", len(data), maxDocument)}
	}
	r := &reader{data: bytes.Clone(data)}
	payload, signature := readSign1(r)
	r.end("the document")
	if r.err != nil {
		return nil, r.err
	}
	d, p := parsePayload(payload)
	if p != nil {
		return nil, p
	}
	d.payload, d.signature = payload, signature
	return d, nil
}

// readSign1 reads the four parts of a COSE_Sign1. Both headers can hold one
// thing only, so they are compared and not interpreted.
func readSign1(r *reader) (payload, signature []byte) {
	if n := r.head(majorArray, "COSE_Sign1"); n != 4 {
		r.malformed("COSE_Sign1 of %d parts, expected 4", n)
	}
	if protected := r.bytes(maxProtected, "protected header"); !bytes.Equal(protected, protectedES384()) {
		r.fail(CodeUnsupportedAlg, "protected header %x, expected %x ({1: -35}, ES384)", protected, protectedES384())
	}
	if n := r.head(majorMap, "unprotected header"); n != 0 {
		r.malformed("unprotected header of %d fields, expected none", n)
	}
	payload = r.bytes(maxPayload, "payload")
	signature = r.bytes(signatureSize, "signature")
	if len(signature) != signatureSize {
		r.malformed("signature of %d bytes, expected %d", len(signature), signatureSize)
	}
	return payload, signature
}

// payload reads the fields of a document, each once.
type payloadReader struct {
	*reader
	doc    *Document
	seen   map[string]bool
	digest string
}

func parsePayload(payload []byte) (*Document, *problem) {
	p := &payloadReader{reader: &reader{data: payload}, doc: &Document{}, seen: make(map[string]bool, maxFields)}
	p.fields(maxFields, "document", p.read)
	p.end("the payload")
	p.complete()
	if p.err != nil {
		return nil, p.err
	}
	return p.doc, nil
}

func (p *payloadReader) read(key string) {
	if p.seen[key] {
		p.malformed("field %q occurs twice", key)
		return
	}
	p.seen[key] = true
	switch key {
	case "module_id":
		p.moduleID()
	case "digest":
		p.digest = p.text(maxKey, key)
	case "timestamp":
		p.timestamp()
	case "pcrs":
		p.pcrs()
	case "certificate":
		p.doc.Certificate = p.certificate(key)
	case "cabundle":
		for range p.length(majorArray, maxBundle, key) {
			p.doc.CABundle = append(p.doc.CABundle, p.certificate(key))
		}
	case "public_key":
		p.doc.PublicKey = p.optional(MaxPublicKey, key)
	case "user_data":
		p.doc.UserData = p.optional(MaxUserData, key)
	case "nonce":
		p.doc.Nonce = p.optional(MaxNonce, key)
	case "nitrotpm_pcrs":
		// The same envelope, root and field names, but registers of a TPM: PCR0 is
		// firmware there and says nothing about an enclave (Amazon EC2 User Guide,
		// "Validate a NitroTPM Attestation Document").
		p.fail(attest.CodeKindMismatch, "a NitroTPM document, expected one of a Nitro Enclave")
	default:
		p.malformed("unknown field %q", brief(key))
	}
}

// moduleID reads the id of an instance, "-enc" and the number of the enclave. A
// NitroTPM has "-tpm" there.
func (p *payloadReader) moduleID() {
	id := p.text(maxModuleID, "module_id")
	instance, enclave, found := strings.Cut(id, "-enc")
	hex, prefixed := strings.CutPrefix(instance, "i-")
	if p.err == nil && !(found && prefixed && isHex(hex) && isHex(enclave)) {
		p.malformed("module_id %q, expected i-HEX-encHEX", brief(id))
	}
	p.doc.ModuleID = id
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// maxTimestamp is the year 9999, so that every time can be written down.
const maxTimestamp = 253402300799999

func (p *payloadReader) timestamp() {
	ms := p.unsigned("timestamp")
	if p.err == nil && (ms == 0 || ms > maxTimestamp) {
		p.malformed("timestamp %d, expected 1 to %d", ms, int64(maxTimestamp))
		return
	}
	p.doc.Timestamp = time.UnixMilli(int64(ms)).UTC()
}

func (p *payloadReader) certificate(what string) []byte {
	der := p.bytes(maxCertificate, what)
	if p.err == nil && len(der) == 0 {
		p.malformed("%s holds an empty certificate", what)
	}
	return der
}

func (p *payloadReader) pcrs() {
	n := p.length(majorMap, MaxPCRs, "pcrs")
	p.doc.PCRs = make(map[int]PCR, n)
	for range n {
		p.pcr()
	}
}

func (p *payloadReader) pcr() {
	index := p.unsigned("index of a PCR")
	value := p.bytes(PCRSize, "a PCR")
	if p.err != nil {
		return
	}
	if _, twice := p.doc.PCRs[int(min(index, MaxPCRs))]; index >= MaxPCRs || twice {
		p.malformed("PCR%d is out of range or occurs twice, expected each of 0 to %d once", index, MaxPCRs-1)
		return
	}
	if len(value) != PCRSize {
		p.malformed("PCR%d of %d bytes, expected %d", index, len(value), PCRSize)
		return
	}
	p.doc.PCRs[int(index)] = PCR(value)
}

// complete establishes that the mandatory fields were there (NSM 3.2.2.1).
func (p *payloadReader) complete() {
	for _, key := range []string{"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"} {
		if !p.seen[key] {
			p.malformed("no field %q", key)
		}
	}
	if p.err == nil && p.digest != digestSHA384 {
		p.fail(CodeUnsupportedAlg, "digest %q, expected %q", brief(p.digest), digestSHA384)
	}
	if len(p.doc.CABundle) == 0 {
		p.malformed("cabundle is empty")
	}
	if p.doc.PublicKey != nil && len(p.doc.PublicKey) == 0 {
		p.malformed("public_key is empty")
	}
	for i := range codePCRs {
		if _, ok := p.doc.PCRs[i]; !ok {
			p.malformed("no PCR%d, which measures code in every enclave", i)
		}
	}
}

// brief cuts what a stranger wrote to a length that fits a line.
func brief(s string) string { return s[:min(len(s), 60)] }

// sigHash is the digest that the document's key signed: that of Sig_structure
// with the context Signature1 and no external data (RFC 9052, section 4.4).
func (d *Document) sigHash() [sha512.Size384]byte {
	const context = "Signature1"
	protected := protectedES384()
	b := make([]byte, 0, len(d.payload)+32)
	b = append(b, majorArray<<5|4, majorText<<5|byte(len(context)))
	b = append(b, context...)
	b = append(b, majorBytes<<5|byte(len(protected)))
	b = append(b, protected...)
	b = append(b, majorBytes<<5) // external_aad, empty
	b = appendBytesHead(b, len(d.payload))
	return sha512.Sum384(append(b, d.payload...))
}

// appendBytesHead starts a byte string of n bytes, below 65536.
func appendBytesHead(b []byte, n int) []byte {
	switch {
	case n < 24:
		return append(b, majorBytes<<5|byte(n))
	case n < 1<<8:
		return append(b, majorBytes<<5|24, byte(n))
	}
	return append(b, majorBytes<<5|25, byte(n>>8), byte(n))
}

// rs are the two halves of the signature (RFC 9053, section 2.1).
func (d *Document) rs() (r, s *big.Int) {
	const half = signatureSize / 2
	return new(big.Int).SetBytes(d.signature[:half]), new(big.Int).SetBytes(d.signature[half:])
}
