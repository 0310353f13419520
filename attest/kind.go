package attest

import "fmt"

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
)

// kindNames are the names on the wire, in files and on the screen.
var kindNames = map[Kind]string{
	SNP:    "sev-snp",
	SimSNP: "sim-sev-snp",
}

// String returns the kind's name, or "invalid(n)".
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

// Valid reports whether k is a kind this build knows.
func (k Kind) Valid() bool { return kindNames[k] != "" }

// Simulated reports whether evidence of this kind comes from no hardware.
// Everything that shows a result must say so.
func (k Kind) Simulated() bool { return k == SimSNP }

// ParseKind is the inverse of [Kind.String]. Names are exact: no case folding.
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return k, nil
		}
	}
	return KindInvalid, fmt.Errorf("attest: unknown evidence kind %q, want one of %q or %q", name, kindNames[SNP], kindNames[SimSNP])
}
