package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// reportSize is the length of a raw SNP report (AMD 56860, "ATTESTATION_REPORT").
const reportSize = 1184

// supplied is what the command line gives beside a raw report.
type supplied struct {
	vek, arkCRL, askCRL string // file names
}

// readEvidence reads a saved bundle or a raw report. A raw report has no
// statement and no policy.
func (s *session) readEvidence(file string, beside supplied) (attest.Bundle, error) {
	data, err := s.readFile(file, attest.MaxBundle)
	if err != nil {
		return attest.Bundle{}, err
	}
	var b attest.Bundle
	if len(data) == reportSize && !bytes.HasPrefix(data, []byte("BBX")) {
		b.Evidence = attest.Evidence{Kind: attest.SNP, Data: data}
		if beside.vek == "" {
			beside.vek = sibling(file)
		}
		if beside.vek == "" {
			r := fail(attest.CodeUnavailable, "hardware", "no certificate beside "+file, "--vek FILE, or NAME.vek.der beside NAME.report.bin")
			r.entry.Fix = "Get the VCEK or VLEK certificate from whoever gave you the report, or that of the chip from AMD's key service, and give it with `--vek FILE`."
			return attest.Bundle{}, r
		}
	} else if b, err = attest.ParseBundle(data); err != nil {
		return attest.Bundle{}, fail(attest.CodeMalformed, "file", fmt.Sprintf("%s, %d bytes: %v", file, len(data), err), fmt.Sprintf("a saved bundle, or a raw SNP report of %d bytes", reportSize))
	}
	return b, s.addEndorsements(&b, beside)
}

// addEndorsements puts the files that were named into the bundle. One that is
// there already is an error: the two might differ.
func (s *session) addEndorsements(b *attest.Bundle, beside supplied) error {
	for _, item := range []struct{ label, file string }{
		{attest.LabelSNPVEK, beside.vek}, {attest.LabelSNPARKCRL, beside.arkCRL}, {attest.LabelSNPASKCRL, beside.askCRL},
	} {
		if item.file == "" {
			continue
		}
		if _, there, _ := b.Endorsements.Get(item.label); there {
			return usage("the bundle holds %s already, and %s was given too", item.label, item.file)
		}
		data, err := s.readFile(item.file, attest.MaxEndorsement)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return fail(catalogue.CodeFile, "file", item.file+" is empty", "a DER file")
		}
		b.Endorsements = append(b.Endorsements, attest.Endorsement{Label: item.label, Data: data})
	}
	return nil
}

// sibling returns the certificate that lies beside NAME.report.bin or NAME.bin
// as NAME.vek.der, or "".
func sibling(file string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(file, ".bin"), ".report") + ".vek.der"
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	return name
}
