package intelforge

import (
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// The documents of the provisioning service (PCS API v4). Members stand in the
// order in which the service writes them; dates and numbers in hex are strings,
// so that any can be malformed.

// TCBInfo is the signed part of an answer about patch levels.
type TCBInfo struct {
	ID                  string           `json:"id"` // "SGX", "TDX"
	Version             int              `json:"version"`
	IssueDate           string           `json:"issueDate"`
	NextUpdate          string           `json:"nextUpdate"`
	FMSPC               string           `json:"fmspc"`
	PCEID               string           `json:"pceId"`
	TCBType             int              `json:"tcbType"`
	Evaluation          int              `json:"tcbEvaluationDataNumber"`
	TDXModule           *TDXModule       `json:"tdxModule,omitempty"`
	TDXModuleIdentities []ModuleIdentity `json:"tdxModuleIdentities,omitempty"`
	Levels              []PlatformLevel  `json:"tcbLevels"`
}

// TDXModule says who signs TDX modules.
type TDXModule struct {
	MRSIGNER       string `json:"mrsigner"`
	Attributes     string `json:"attributes"`
	AttributesMask string `json:"attributesMask"`
}

// ModuleIdentity is that of one generation of the TDX module.
type ModuleIdentity struct {
	ID             string     `json:"id"` // "TDX_01"
	MRSIGNER       string     `json:"mrsigner"`
	Attributes     string     `json:"attributes"`
	AttributesMask string     `json:"attributesMask"`
	Levels         []SVNLevel `json:"tcbLevels"`
}

// SVNLevel is a patch level of a module or quoting enclave.
type SVNLevel struct {
	TCB        SVN      `json:"tcb"`
	Date       string   `json:"tcbDate"`
	Status     string   `json:"tcbStatus"`
	Advisories []string `json:"advisoryIDs,omitempty"`
}

// SVN is a security version number.
type SVN struct {
	ISVSVN int `json:"isvsvn"`
}

// PlatformLevel is a patch level of processor and firmware.
type PlatformLevel struct {
	TCB        PlatformTCB `json:"tcb"`
	Date       string      `json:"tcbDate"`
	Status     string      `json:"tcbStatus"`
	Advisories []string    `json:"advisoryIDs,omitempty"`
}

// PlatformTCB holds 16 components for each technology.
type PlatformTCB struct {
	SGX    []Component `json:"sgxtcbcomponents"`
	PCESVN int         `json:"pcesvn"`
	TDX    []Component `json:"tdxtcbcomponents,omitempty"`
}

// Component is one patched thing.
type Component struct {
	SVN      int    `json:"svn"`
	Category string `json:"category,omitempty"`
	Type     string `json:"type,omitempty"`
}

// Components returns 16 components without names, zero where none is given.
func Components(svns ...int) []Component {
	out := make([]Component, 16)
	for i, n := range svns[:min(len(svns), len(out))] {
		out[i].SVN = n
	}
	return out
}

// Identity is the signed part of an answer about a quoting enclave.
type Identity struct {
	ID             string     `json:"id"` // "QE", "TD_QE", "QVE"
	Version        int        `json:"version"`
	IssueDate      string     `json:"issueDate"`
	NextUpdate     string     `json:"nextUpdate"`
	Evaluation     int        `json:"tcbEvaluationDataNumber"`
	MiscSelect     string     `json:"miscselect"`
	MiscSelectMask string     `json:"miscselectMask"`
	Attributes     string     `json:"attributes"`
	AttributesMask string     `json:"attributesMask"`
	MRSIGNER       string     `json:"mrsigner"`
	ISVProdID      int        `json:"isvprodid"`
	Levels         []SVNLevel `json:"tcbLevels"`
}

// Encode returns the document as the service writes it, without the signature.
func (t TCBInfo) Encode() ([]byte, error) { return encode(t) }

// Encode returns the document as the service writes it, without the signature.
func (i Identity) Encode() ([]byte, error) { return encode(i) }

func encode(v any) ([]byte, error) {
	out, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("intelforge: %w", err)
	}
	return out, nil
}

// Members under which the service wraps its documents.
const (
	MemberTCBInfo  = "tcbInfo"
	MemberIdentity = "enclaveIdentity"
)

// SignDocument returns the whole answer: the document's bytes as they are under
// that member, and their signature.
func SignDocument(member string, document []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	sig, err := RawSign(key, document)
	if err != nil {
		return nil, err
	}
	return WrapDocument(member, document, sig), nil
}

// WrapDocument returns the whole answer with a signature made elsewhere.
func WrapDocument(member string, document, signature []byte) []byte {
	return fmt.Appendf(nil, `{"%s":%s,"signature":"%s"}`, member, document, hex.EncodeToString(signature))
}
