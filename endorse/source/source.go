// Package source answers one question: which vendor-signed objects exist, and at
// which address does their vendor hand them out?
//
// The hosts are compiled in. Evidence, which a stranger wrote, chooses numbers
// and names that go into a path after they were checked character by character;
// it never chooses a host, so no evidence can make anybody fetch from elsewhere.
//
// The package stands on both sides of the trust boundary: the box staples what
// is named here, the relying party fetches it. It opens no connection and
// trusts nothing.
package source

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// Host is a vendor's server. The zero value is none.
type Host uint8

// The only hosts there are.
const (
	AMDKDS     Host = 1 + iota // AMD Key Distribution Service (AMD 57230, chapter 4)
	IntelPCS                   // Intel Provisioning Certification Service, API v4
	IntelCRL                   // where the SGX Root CA's CRL lies, by its distribution point
	NVIDIARIM                  // NVIDIA RIM service, API v1
	NVIDIAOCSP                 // NVIDIA's OCSP responder
	hostEnd
)

var hostNames = [hostEnd]string{
	AMDKDS:     "kdsintf.amd.com",
	IntelPCS:   "api.trustedservices.intel.com",
	IntelCRL:   "certificates.trustedservices.intel.com",
	NVIDIARIM:  "rim.attestation.nvidia.com",
	NVIDIAOCSP: "ocsp.ndis.nvidia.com",
}

// Hosts returns all of them.
func Hosts() []Host { return []Host{AMDKDS, IntelPCS, IntelCRL, NVIDIARIM, NVIDIAOCSP} }

// String returns the host's name, or "no host".
func (h Host) String() string {
	if h == 0 || h >= hostEnd {
		return "no host"
	}
	return hostNames[h]
}

// Form is what the bytes of an object are.
type Form uint8

// The forms. The zero value is none.
const (
	FormVCEK       Form = 1 + iota // certificate, DER
	FormCRL                        // DER
	FormTCBInfo                    // JSON, signed over its raw bytes
	FormQEIdentity                 // likewise
	FormRIM                        // XML in base64 in JSON
	FormOCSP                       // DER
)

var formNames = [...]string{"", "certificate", "CRL", "TCB info", "QE identity", "RIM", "OCSP response"}

// String returns the form's name, or "".
func (f Form) String() string {
	if int(f) >= len(formNames) {
		return ""
	}
	return formNames[f]
}

// Object is one thing that a vendor signs and hands out. It can be made by this
// package only; the zero Object is none.
type Object struct {
	host   Host
	form   Form
	path   string // with the query, as the vendor writes it
	body   []byte // asked with POST if there is one
	label  string
	what   string
	issuer string // response header that holds the issuers' certificates
}

// maxWrapped bounds an answer that holds its object in base64 and JSON.
const maxWrapped = attest.MaxEndorsement*4/3 + 4<<10

// MaxChain bounds the certificates that come in a response header.
const MaxChain = 16 << 10

// Host returns the server.
func (o Object) Host() Host { return o.host }

// Form returns what the bytes are.
func (o Object) Form() Form { return o.form }

// Path returns the path and query at the host.
func (o Object) Path() string { return o.path }

// Body returns what is sent with POST; nil means GET.
func (o Object) Body() []byte { return o.body }

// Label returns the label of the [attest.Endorsement] that the object becomes.
func (o Object) Label() string { return o.label }

// What names the object for people, "TCB info of FMSPC 00606a000000 (sgx)".
func (o Object) What() string { return o.what }

// IssuerHeader returns the name of the response header in which the issuers'
// certificates come, "" if there is none.
func (o Object) IssuerHeader() string { return o.issuer }

// Immutable reports whether the object under this address never changes: a
// VCEK is a function of its chip and its TCB.
func (o Object) Immutable() bool { return o.form == FormVCEK || o.form == FormRIM }

// Limit is the largest answer in bytes that is read.
func (o Object) Limit() int64 {
	if o.form == FormRIM {
		return maxWrapped
	}
	return attest.MaxEndorsement
}

// Valid reports whether o is an object at all.
func (o Object) Valid() bool { return o.host.String() != "no host" && o.form != 0 && o.path != "" }

// Key identifies the request: host, path, and what was posted.
func (o Object) Key() string {
	key := o.host.String() + o.path
	if o.body != nil {
		sum := sha256.Sum256(o.body)
		key += "#" + hex.EncodeToString(sum[:])
	}
	return key
}

// allowed reports whether s is made of letters, digits and the extra
// characters alone, and is between 1 and limit long.
func allowed(s, extra string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune(extra, rune(c)) {
			return false
		}
	}
	return true
}

func refuse(what, got, expected string) (Object, error) {
	if len(got) > 60 {
		got = got[:60]
	}
	return Object{}, fmt.Errorf("source: %s %q, expected %s", what, got, expected)
}
