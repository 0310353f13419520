package nvgpu

import (
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// VerifyManifest says why a manifest is not NVIDIA's; empty if it is.
func VerifyManifest(data []byte) (string, error) {
	_, s, err := parseManifest(data)
	if err != nil {
		return "", err
	}
	roots, err := nvidiaRoots()
	if err != nil {
		return "", err
	}
	root, err := parseRoot("RIM", roots.RIM)
	if err != nil {
		return "", err
	}
	if problem := s.verify(root, newCollateral(nil)); problem != nil {
		return string(problem.Code), nil
	}
	return "", nil
}

// Canonical returns the canonical form of a document without its signature.
func Canonical(data []byte) ([]byte, error) {
	root, err := parseXML(data)
	if err != nil {
		return nil, err
	}
	var omit *element
	if found := root.find(dsigSpace, "Signature", nil); len(found) == 1 {
		omit = found[0]
	}
	return canonical(root, omit), nil
}

// Spliced returns the report of one device with the certificates of another.
func Spliced(t testing.TB, report, chain attest.Evidence) attest.Evidence {
	a, errA := form.ParseGPU(report.Data)
	b, errB := form.ParseGPU(chain.Data)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return Encode(report.Kind, a.Report, b.Chain)
}
