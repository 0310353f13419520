package attest

import (
	"fmt"
	"strings"
)

// Kind names what produced a piece of Evidence. It decides which Verifier may
// read the bytes: a Verifier refuses every kind but its own, so Evidence that
// is labelled as one kind and holds another is never guessed at.
type Kind uint8

const (
	// KindInvalid is the zero value. Nothing accepts it.
	KindInvalid Kind = iota
	// SNP is an AMD SEV-SNP attestation report (AMD 56860, section 7.3).
	SNP
	// SimSNP has the form of SNP and is signed under a root that was made on
	// somebody's own machine. It proves nothing about hardware.
	SimSNP
	// TDX is an Intel TDX quote, version 4 or 5 (Intel TDX DCAP Quoting Library API).
	TDX
	// SGX is an Intel SGX quote, version 3, 4 or 5, with an ECDSA attestation key
	// (Intel SGX ECDSA QuoteLib Reference, DCAP API).
	SGX
	// Nitro is an attestation document of an AWS Nitro Enclave: COSE_Sign1 (AWS
	// Nitro Enclaves NSM API, docs/attestation_process.md).
	Nitro
	// TPM is a quote of a TPM 2.0 with its PCR values, in the form of package
	// attest/tpm. By itself it proves a TPM, and memory encryption not at all.
	TPM
	// AzureSNP is an Azure confidential VM on SEV-SNP: the paravisor's HCL report,
	// which AMD's hardware signed, and a quote of the paravisor's vTPM.
	AzureSNP
	// AzureTDX is the same on TDX, with the TD quote in addition.
	AzureTDX
	// NVIDIAGPU is one NVIDIA GPU's SPDM measurements, signed by the GPU.
	NVIDIAGPU
	// NVSwitch is one NVIDIA NVSwitch's.
	NVSwitch
	// Composite is Evidence of a machine and of the devices beside its processor:
	// one part of a kind that stands alone, then the others.
	Composite
	kindEnd
)

// kindNames are the names on the wire, in files and on the screen.
var kindNames = [kindEnd]string{
	SNP:       "sev-snp",
	SimSNP:    "sim-sev-snp",
	TDX:       "tdx",
	SGX:       "sgx",
	Nitro:     "nitro",
	TPM:       "tpm",
	AzureSNP:  "azure-sev-snp",
	AzureTDX:  "azure-tdx",
	NVIDIAGPU: "nvidia-gpu",
	NVSwitch:  "nvidia-nvswitch",
	Composite: "composite",
}

// Kinds returns every kind this build knows.
func Kinds() []Kind {
	out := make([]Kind, 0, kindEnd-1)
	for k := KindInvalid + 1; k < kindEnd; k++ {
		out = append(out, k)
	}
	return out
}

// String returns the kind's name, or "invalid(n)".
func (k Kind) String() string {
	if k.Valid() {
		return kindNames[k]
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

// Valid reports whether k is a kind this build knows.
func (k Kind) Valid() bool { return k != KindInvalid && k < kindEnd }

// Simulated reports whether evidence of this kind comes from no hardware.
// Everything that shows a result must say so.
func (k Kind) Simulated() bool { return k == SimSNP }

// Device reports whether evidence of this kind speaks of a device beside a
// processor. It never stands alone: a genuine GPU says nothing about the
// machine that it is plugged into.
func (k Kind) Device() bool { return k == NVIDIAGPU || k == NVSwitch }

// SignsNonce reports whether hardware of this kind signs the 32 bytes of
// [Bound.Nonce] and not the 64 of [Bound.Bytes].
func (k Kind) SignsNonce() bool {
	switch k {
	case TPM, AzureSNP, AzureTDX, NVIDIAGPU, NVSwitch:
		return true
	}
	return false
}

// ParseKind is the inverse of [Kind.String]. Names are exact: no case folding.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if kindNames[k] == name {
			return k, nil
		}
	}
	return KindInvalid, fmt.Errorf("attest: unknown evidence kind %q, want one of %s", name, strings.Join(kindNames[1:], ", "))
}
