package pcs

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// collateral is what Intel's Provisioning Certification Service says about a
// platform, in the form that public tools keep it in one file: the signed texts as
// strings beside their signatures in hex, lists as DER in hex, chains in
// PEM.
type collateral struct {
	PCKChain      string `json:"pck_certificate_chain"`
	PCKCRLChain   string `json:"pck_crl_issuer_chain"`
	RootCRL       string `json:"root_ca_crl"`
	PCKCRL        string `json:"pck_crl"`
	TCBChain      string `json:"tcb_info_issuer_chain"`
	TCBInfo       string `json:"tcb_info"`
	TCBSignature  string `json:"tcb_info_signature"`
	QEChain       string `json:"qe_identity_issuer_chain"`
	QEIdentity    string `json:"qe_identity"`
	QEIDSignature string `json:"qe_identity_signature"`
}

// FromCollateralJSON turns such a file, up to [attest.MaxBundle] long, into
// Endorsements for packages tdx and sgx. Nothing is verified: the Verifier looks at
// each item. Members that are not known are left out; a file without any known one
// is an error.
func FromCollateralJSON(data []byte) (attest.Endorsements, error) {
	var c collateral
	options := strictjson.Options{AllowUnknown: true, Limits: strictjson.Limits{Bytes: attest.MaxBundle}}
	if err := strictjson.Decode(data, &c, options); err != nil {
		return nil, fmt.Errorf("pcs: collateral: %w", err)
	}
	if c.QEChain != "" && c.TCBChain != "" && c.QEChain != c.TCBChain {
		return nil, errors.New("pcs: collateral: tcb_info_issuer_chain and qe_identity_issuer_chain differ, expected one chain for both")
	}
	rootCRL, err := hex.DecodeString(c.RootCRL)
	if err != nil {
		return nil, errors.New("pcs: collateral: root_ca_crl is not hex")
	}
	pckCRL, err := hex.DecodeString(c.PCKCRL)
	if err != nil {
		return nil, errors.New("pcs: collateral: pck_crl is not hex")
	}
	var out attest.Endorsements
	put := func(label string, data []byte) {
		if len(data) != 0 {
			out = append(out, attest.Endorsement{Label: label, Data: data})
		}
	}
	put(attest.LabelIntelPCKChain, []byte(c.PCKChain))
	put(attest.LabelIntelTCBInfo, signedBody(MemberTCBInfo, c.TCBInfo, c.TCBSignature))
	put(attest.LabelIntelQEIdentity, signedBody(MemberQEIdentity, c.QEIdentity, c.QEIDSignature))
	put(attest.LabelIntelTCBChain, []byte(c.TCBChain))
	put(attest.LabelIntelRootCRL, rootCRL)
	put(attest.LabelIntelPCKCRL, pckCRL)
	if len(out) == 0 {
		return nil, errors.New("pcs: collateral with none of the members that are looked for, such as tcb_info")
	}
	return out, nil
}

// signedBody puts the service's answer together again, with the signed text in
// it byte for byte.
func signedBody(name, text, signature string) []byte {
	if text == "" {
		return nil
	}
	return fmt.Appendf(nil, `{"%s":%s,"signature":"%s"}`, name, text, signature)
}
