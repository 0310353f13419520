package nvgpu_test

import (
	"fmt"
	"os"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

// A report of a real NVSwitch is verified and compared with NVIDIA's manifest for its
// firmware.
func Example() {
	file, err := os.ReadFile("../../vectors/nvidia/switch_evidence_ls10.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	devices, err := nvgpu.FromNVIDIAJSON(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	const id = "NV_SWITCH_BIOS_5612_0002_890_9610550001" // the name that the report asks for
	manifest, err := os.ReadFile("../../vectors/nvidia/rim/" + id + ".xml")
	if err != nil {
		fmt.Println(err)
		return
	}
	endorsements := attest.Endorsements{{Label: attest.LabelNVIDIARIM + id, Data: manifest}}

	verifier, err := nvgpu.NewVerifier(attest.NVSwitch)
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(devices[0], endorsements, time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Claims are facts, not a verdict: package appraise decides whether they are good enough.
	facts := claims.Detail.(*nvgpu.Claims)
	fmt.Println(claims.Kind, facts.Arch, facts.DeviceID)
	fmt.Println(len(facts.Measurements), "measurements,", len(facts.Differing()), "differ from the manifest")
	fmt.Println("revocation:", facts.Revoked())
	// Output:
	// nvidia-nvswitch LS10 NVIDIA:LS_10:48B02DFE0092CDDB
	// 31 measurements, 0 differ from the manifest
	// revocation: not checked
}
