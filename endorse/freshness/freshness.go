// Package freshness answers one question: what does a vendor's object itself
// say about its age?
//
// It reads dates and serial numbers and nothing else, and it looks at no
// signature. The box uses it to know when to fetch again; nothing that it
// returns may be believed before a verifier has accepted the object. It stands
// outside of all trust and links no verifier.
package freshness

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/endorse/source"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// Facts are what an object says about itself.
type Facts struct {
	// From and Until bound the time in which the object is in force; Until is zero
	// for one that has no end of its own (a RIM).
	From, Until time.Time
	// Series names the succession of objects that this one belongs to, "" if it
	// belongs to none; Number is its place there: the CRL number of an issuer, or
	// the TCB evaluation data number of a platform type.
	Series string
	Number *big.Int
	// Withdrawn stands for the set of serial numbers that a CRL lists: two lists of
	// one issuer with the same Withdrawn withdraw the same certificates. It is zero
	// for everything that is no CRL.
	Withdrawn Set
	// Subject is what it is about: "tdx/00606a000000", "td_qe", the name of a CRL's
	// issuer.
	Subject string
	// Issuer is who signed it, by the name it gives.
	Issuer string
}

// Set is the beginning of a digest over a set of numbers. It fits into a floor
// beside a date and a number; who could find two sets of one value is the vendor, who need not.
type Set [10]byte

// Read reads an object.
func Read(form source.Form, data []byte) (Facts, error) {
	switch form {
	case source.FormVCEK:
		return readCertificate(data)
	case source.FormCRL:
		return readCRL(data)
	case source.FormTCBInfo:
		return readTCBInfo(data)
	case source.FormQEIdentity:
		return readQEIdentity(data)
	case source.FormOCSP:
		return readOCSP(data)
	case source.FormRIM:
		return Facts{}, nil
	}
	return Facts{}, errors.New("freshness: no form")
}

func readCertificate(der []byte) (Facts, error) {
	cert, err := x509.ParseCertificate(bytes.Clone(der))
	if err != nil {
		return Facts{}, fmt.Errorf("freshness: certificate: %w", err)
	}
	return Facts{From: cert.NotBefore, Until: cert.NotAfter, Issuer: cert.Issuer.CommonName}, nil
}

// maxNumber is the longest CRL number in bytes (RFC 5280, 5.2.3).
const maxNumber = 20

func readCRL(der []byte) (Facts, error) {
	list, err := x509.ParseRevocationList(bytes.Clone(der))
	switch {
	case err != nil:
		return Facts{}, fmt.Errorf("freshness: CRL: %w", err)
	case list.NextUpdate.IsZero():
		return Facts{}, errors.New("freshness: CRL without the date of its next update")
	case list.Number != nil && (list.Number.Sign() < 0 || len(list.Number.Bytes()) > maxNumber):
		return Facts{}, fmt.Errorf("freshness: CRL number longer than %d bytes or negative", maxNumber)
	}
	return Facts{
		From: list.ThisUpdate, Until: list.NextUpdate, Issuer: list.Issuer.CommonName, Number: list.Number,
		// The key identifier tells two CAs of one name apart.
		Series: "crl/" + digest(list.RawIssuer, list.AuthorityKeyId), Subject: list.Issuer.CommonName,
		Withdrawn: withdrawn(list.RevokedCertificateEntries),
	}, nil
}

// withdrawn is the same for every order of the entries. Why and when a certificate
// was withdrawn does not count: that it was does.
func withdrawn(entries []x509.RevocationListEntry) Set {
	serials := make([]string, len(entries))
	for i, e := range entries {
		serials[i] = e.SerialNumber.Text(16)
	}
	slices.Sort(serials)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(serials), "\n")))
	return Set(sum[:len(Set{})])
}

func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256(p)
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// dated are the members of both of Intel's documents that speak of age (PCS
// API v4, TCB info v3 and enclave identity v2).
type dated struct {
	ID     string `json:"id"`
	FMSPC  string `json:"fmspc"`
	Issue  string `json:"issueDate"`
	Next   string `json:"nextUpdate"`
	Number int64  `json:"tcbEvaluationDataNumber"`
}

func readTCBInfo(data []byte) (Facts, error) {
	var doc struct {
		Info dated `json:"tcbInfo"`
	}
	if err := strictjson.Decode(data, &doc, strictjson.Options{AllowUnknown: true}); err != nil {
		return Facts{}, fmt.Errorf("freshness: TCB info: %w", err)
	}
	if _, err := hex.DecodeString(doc.Info.FMSPC); err != nil || len(doc.Info.FMSPC) != 12 {
		return Facts{}, errors.New("freshness: TCB info without an FMSPC of 12 hex digits")
	}
	return doc.Info.facts("TCB info")
}

func readQEIdentity(data []byte) (Facts, error) {
	var doc struct {
		Identity dated `json:"enclaveIdentity"`
	}
	if err := strictjson.Decode(data, &doc, strictjson.Options{AllowUnknown: true}); err != nil {
		return Facts{}, fmt.Errorf("freshness: QE identity: %w", err)
	}
	return doc.Identity.facts("QE identity")
}

func (d dated) facts(what string) (Facts, error) {
	issue, err := time.Parse(time.RFC3339, d.Issue)
	if err != nil {
		return Facts{}, fmt.Errorf("freshness: %s: issue date: %w", what, err)
	}
	next, err := time.Parse(time.RFC3339, d.Next)
	if err != nil {
		return Facts{}, fmt.Errorf("freshness: %s: next update: %w", what, err)
	}
	if d.Number < 0 || d.ID == "" {
		return Facts{}, fmt.Errorf("freshness: %s: id %.20q, evaluation data number %d", what, d.ID, d.Number)
	}
	series, subject := "qe/", strings.ToLower(d.ID)
	if d.FMSPC != "" {
		series, subject = "tcb/", subject+"/"+strings.ToLower(d.FMSPC)
	}
	return Facts{
		From: issue, Until: next, Series: series + digest([]byte(subject)), Subject: subject,
		Number: big.NewInt(d.Number), Issuer: "Intel SGX TCB Signing",
	}, nil
}
