package device

import (
	"fmt"
	"path"
	"strings"

	"github.com/blindbox/blindbox/attest"
)

// gramineDir is where Gramine shows an enclave what attests it (Gramine
// documentation, "Attestation and Secret Provisioning", /dev/attestation).
const gramineDir = "/dev/attestation"

// gramineDCAP is the attestation type whose quotes Intel's PCK certificates
// endorse; "epid" is the other that there was, "none" means no attestation.
const gramineDCAP = "dcap"

// gramine is the driver behind Gramine's files. They belong to the process, so
// nobody else writes them.
type gramine struct{ files files }

func newGramine(files files) *turns { return inTurns(&gramine{files}) }

func (g *gramine) kind() attest.Kind { return attest.SGX }

func (g *gramine) once(b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if err := g.isDCAP(); err != nil {
		return attest.Evidence{}, nil, err
	}
	reportData := b.Bytes()
	if err := g.files.write(path.Join(gramineDir, "user_report_data"), reportData[:]); err != nil {
		return attest.Evidence{}, nil, err
	}
	quote, err := g.files.read(path.Join(gramineDir, "quote"), maxQuote)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	if err := checkQuote(quote, teeSGX, reportData); err != nil {
		return attest.Evidence{}, nil, err
	}
	return attest.Evidence{Kind: attest.SGX, Data: quote}, nil, nil
}

func (g *gramine) isDCAP() error {
	text, err := g.files.read(path.Join(gramineDir, "attestation_type"), maxText)
	if err != nil {
		return err
	}
	if got := strings.TrimRight(string(text), "\n\x00"); got != gramineDCAP {
		return fmt.Errorf("attestation_type is %q, expected %q: sgx.remote_attestation = \"dcap\" in the manifest", got, gramineDCAP)
	}
	return nil
}

func detectGramine(files files) Candidate {
	c := Candidate{Kind: attest.SGX, Path: gramineDir}
	if absent(files, &c, "not in an SGX enclave of Gramine") {
		return c
	}
	if err := (&gramine{files}).isDCAP(); err != nil {
		c.Reason = err.Error()
		return c
	}
	c.Detail = "attestation_type " + gramineDCAP
	return c
}
