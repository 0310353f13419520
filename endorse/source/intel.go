package source

import (
	"encoding/hex"
	"fmt"

	"github.com/blindbox/blindbox/attest"
)

// TEE is one of Intel's, as the paths of the PCS write it.
type TEE string

// Intel's two.
const (
	SGX TEE = "sgx"
	TDX TEE = "tdx"
)

func (t TEE) valid() bool { return t == SGX || t == TDX }

// Update says which of the two sets of TCB info that Intel keeps in force at a
// time is meant (PCS API v4, parameter update).
type Update string

const (
	// Standard is what Intel enforces now; the service's default.
	Standard Update = ""
	// Early holds the TCB recoveries that Standard will have later.
	Early Update = "early"
)

func (u Update) query(first string) (string, bool) {
	switch u {
	case Standard:
		return "", true
	case Early:
		return first + "update=early", true
	}
	return "", false
}

// TCBInfo is the TCB levels of one platform type.
func TCBInfo(tee TEE, fmspc [6]byte, u Update) (Object, error) {
	query, ok := u.query("&")
	if !tee.valid() || !ok {
		return refuse("TCB info", string(tee)+" "+string(u), "sgx or tdx, standard or early")
	}
	id := hex.EncodeToString(fmspc[:])
	return Object{
		host: IntelPCS, form: FormTCBInfo, path: "/" + string(tee) + "/certification/v4/tcb?fmspc=" + id + query,
		label: attest.LabelIntelTCBInfo, issuer: "TCB-Info-Issuer-Chain",
		what: fmt.Sprintf("TCB info of FMSPC %s (%s%s)", id, tee, u.suffix()),
	}, nil
}

// QEIdentity is the identity of the quoting enclave: QE on SGX, TD-QE on TDX.
func QEIdentity(tee TEE, u Update) (Object, error) {
	query, ok := u.query("?")
	if !tee.valid() || !ok {
		return refuse("QE identity", string(tee)+" "+string(u), "sgx or tdx, standard or early")
	}
	return Object{
		host: IntelPCS, form: FormQEIdentity, path: "/" + string(tee) + "/certification/v4/qe/identity" + query,
		label: attest.LabelIntelQEIdentity, issuer: "SGX-Enclave-Identity-Issuer-Chain",
		what: fmt.Sprintf("QE identity (%s%s)", tee, u.suffix()),
	}, nil
}

func (u Update) suffix() string {
	if u == Early {
		return ", early"
	}
	return ""
}

// PCKCRL is the CRL of one of the two CAs that issue PCK certificates, named
// "platform" or "processor".
func PCKCRL(ca string) (Object, error) {
	if ca != "platform" && ca != "processor" {
		return refuse("PCK CA", ca, "platform or processor")
	}
	return Object{
		host: IntelPCS, form: FormCRL, path: "/sgx/certification/v4/pckcrl?ca=" + ca + "&encoding=der",
		label: attest.LabelIntelPCKCRL, issuer: "SGX-PCK-CRL-Issuer-Chain", what: "CRL of the PCK " + ca + " CA",
	}, nil
}

// IntelRootCRL is the CRL of the SGX Root CA.
func IntelRootCRL() Object {
	return Object{
		host: IntelCRL, form: FormCRL, path: "/IntelSGXRootCA.der",
		label: attest.LabelIntelRootCRL, what: "CRL of the Intel SGX Root CA",
	}
}
