package nvgpu_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest/attesttest"
)

// TestCatalogue writes the list of cases beside the captures.
func TestCatalogue(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Cases of NVIDIA GPUs and NVSwitches\n\n" +
		"Made by `attesttest.NVIDIAVectors` and written by `go test ./attest/nvgpu -update`. Stage `verify`: the verifier\n" +
		"refuses. `appraise`: the claims are true and a trust file refuses them. `none`: accepted. Rows V01 to V31 are named here;\n" +
		"G27 and H06 are rows of the common catalogue: evidence of another kind, and a device that sits elsewhere.\n\n" +
		"| row | case | what | stage | check | code | source |\n|---|---|---|---|---|---|---|\n")
	for _, v := range attesttest.NVIDIAVectors(t) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", v.Row, v.Name, v.About, v.Stage, v.Check, v.Code, v.Spec)
	}
	compareGolden(t, filepath.Join(vectorDir, "README.md"), b.String())
}
