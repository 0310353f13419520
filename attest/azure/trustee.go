package azure

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/attest/tpm"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// trusteeDoc is the evidence of an Azure VM as the attesters of the Confidential
// Containers project write it (az-snp-vtpm and az-tdx-vtpm). Version 0, which does
// not say so, has lists of numbers and other names.
type trusteeDoc struct {
	Version  int           `json:"version"`
	Quote    *trusteeQuote `json:"tpm_quote"`
	OldQuote *trusteeQuote `json:"quote"`
	HCL      base64Bytes   `json:"hcl_report"`
	OldHCL   base64Bytes   `json:"report"`
	TDQuote  base64Bytes   `json:"td_quote"`
	VCEK     string        `json:"vcek"`
}

type trusteeQuote struct {
	Message   hexBytes   `json:"message"`
	Signature hexBytes   `json:"signature"`
	PCRs      []hexBytes `json:"pcrs"`
}

// hexBytes are a list of numbers, or a string in hex; base64Bytes the same in
// base64url.
type (
	hexBytes    []byte
	base64Bytes []byte
)

// ReadStrictJSON makes it a strictjson.Value.
func (b *hexBytes) ReadStrictJSON(r *strictjson.Reader) (err error) {
	*b, err = readBytes(r, hex.DecodeString)
	return err
}

// ReadStrictJSON makes it a strictjson.Value.
func (b *base64Bytes) ReadStrictJSON(r *strictjson.Reader) (err error) {
	*b, err = readBytes(r, base64.URLEncoding.Strict().DecodeString)
	return err
}

func readBytes(r *strictjson.Reader, decode func(string) ([]byte, error)) (out []byte, err error) {
	if r.Kind() == strictjson.String {
		s, err := r.String()
		if err == nil {
			out, err = decode(s)
		}
		return out, err
	}
	err = r.Array(func() error {
		v, err := r.Uint(8)
		out = append(out, byte(v))
		return err
	})
	return out, err
}

// FromTrusteeJSON converts such a document into Evidence and what endorses it. The
// document says nothing about the key's public area; it is put together from the
// key in the HCL report and the attributes that paravisors give it. Whether it is
// right, the quote's qualified name tells the Verifier.
func FromTrusteeJSON(data []byte) (attest.Evidence, attest.Endorsements, error) {
	var doc trusteeDoc
	if err := strictjson.Decode(data, &doc, strictjson.Options{Limits: strictjson.Limits{Bytes: attest.MaxEvidence, Depth: 6}}); err != nil {
		return attest.Evidence{}, nil, fmt.Errorf("azure: evidence in JSON: %w", err)
	}
	if (doc.Quote == nil) == (doc.OldQuote == nil) || (len(doc.HCL) == 0) == (len(doc.OldHCL) == 0) {
		return attest.Evidence{}, nil, fmt.Errorf("azure: evidence in JSON without exactly one quote and one HCL report")
	}
	quote, report := doc.Quote, []byte(doc.HCL)
	if quote == nil {
		quote = doc.OldQuote
	}
	if len(report) == 0 {
		report = doc.OldHCL
	}
	hcl, err := ParseHCL(report)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	runtime, err := ParseRuntime(hcl.Runtime)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	end, err := trusteeEndorsements(doc.VCEK)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	a := form.Azure{HCLReport: report, TDQuote: doc.TDQuote, TPM: form.TPM{
		Quote: quote.Message, Signature: rsassa(quote.Signature), AKPublic: akArea(runtime), Bank: sha256Bank,
	}}
	for i, v := range quote.PCRs {
		if i >= form.MaxPCRs {
			return attest.Evidence{}, nil, fmt.Errorf("azure: evidence in JSON with %d registers, limit %d", len(quote.PCRs), form.MaxPCRs)
		}
		a.TPM.PCRs = append(a.TPM.PCRs, form.PCR{Index: uint8(i), Value: v})
	}
	return attest.Evidence{Kind: hcl.Kind, Data: a.Encode()}, end, nil
}

// trusteeEndorsements reads the VCEK: PEM in version 0, DER in base64url later.
func trusteeEndorsements(vcek string) (attest.Endorsements, error) {
	if vcek == "" {
		return nil, nil
	}
	der, err := base64.URLEncoding.Strict().DecodeString(vcek)
	if err != nil {
		blocks, pemErr := pki.SplitPEM([]byte(vcek), 1)
		if pemErr != nil {
			return nil, fmt.Errorf("azure: VCEK that is neither base64url nor PEM")
		}
		der = blocks[0]
	}
	return attest.Endorsements{{Label: attest.LabelSNPVEK, Data: der}}, nil
}

// TPM_ALG_ID (TCG Algorithm Registry).
const (
	algRSA     = 0x0001
	sha256Bank = 0x000b
	algNull    = 0x0010
	algRSASSA  = 0x0014
)

// paravisorAK are the attributes that paravisors give their attestation key:
// those of every attestation key, and userWithAuth and noDA.
const paravisorAK = tpm.FixedTPM | tpm.FixedParent | tpm.SensitiveDataOrigin | tpm.Restricted | tpm.Sign | 1<<6 | 1<<10

// akArea writes the public area (TPMT_PUBLIC) of an RSA key that signs with RSASSA
// and SHA-256.
func akArea(r *Runtime) []byte {
	be := binary.BigEndian
	out := be.AppendUint16(be.AppendUint16(nil, algRSA), sha256Bank)
	out = be.AppendUint32(out, uint32(paravisorAK))
	for _, v := range []int{0, algNull, algRSASSA, sha256Bank, r.AK.N.BitLen()} { // no authPolicy, no symmetric key
		out = be.AppendUint16(out, uint16(v))
	}
	out = be.AppendUint32(out, 0) // the usual exponent
	n := r.AK.N.Bytes()
	return append(be.AppendUint16(out, uint16(len(n))), n...)
}

// rsassa writes a TPMT_SIGNATURE.
func rsassa(sig []byte) []byte {
	be := binary.BigEndian
	out := be.AppendUint16(be.AppendUint16(nil, algRSASSA), sha256Bank)
	return append(be.AppendUint16(out, uint16(len(sig))), sig...)
}
