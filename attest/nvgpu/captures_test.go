package nvgpu_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

var update = flag.Bool("update", false, "write the golden files of the captures")

const (
	vectorDir = "../../vectors/nvidia"
	switchRIM = "NV_SWITCH_BIOS_5612_0002_890_9610550001"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 12, 0, 0, 0, time.UTC) }

// capture is one file of real devices; vectors/nvidia/ORIGIN.md says whose.
type capture struct {
	name string
	at   time.Time
	// rims are manifests by their name, each with the file it is in.
	rims map[string]string
}

var captures = []capture{
	{name: "hopper_evidence.json", at: day(2024, 7, 1)},
	{name: "hopper_evidence_cert_hold.json", at: day(2024, 7, 1)},
	{name: "multi_gpu_hopper.json", at: day(2024, 7, 1)},
	{name: "blackwell-evidence.json", at: day(2024, 7, 1)},
	{name: "switch_evidence_ls10.json", at: day(2026, 6, 15), rims: map[string]string{switchRIM: switchRIM + ".xml"}},
	{name: "multi_switch_ls10.json", at: day(2026, 6, 15), rims: map[string]string{switchRIM: switchRIM + ".xml"}},
	{name: "hopperAttestationReport.txt", at: day(2024, 7, 1)},
}

func (c capture) evidence(t testing.TB) []attest.Evidence {
	t.Helper()
	if strings.HasSuffix(c.name, ".txt") {
		ev, err := nvgpu.FromNVIDIAText(attest.NVIDIAGPU, vector(t, c.name), vector(t, "hopperCertChain.txt"))
		if err != nil {
			t.Fatal(err)
		}
		return []attest.Evidence{ev}
	}
	list, err := nvgpu.FromNVIDIAJSON(vector(t, c.name))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (c capture) endorsements(t testing.TB) attest.Endorsements {
	var end attest.Endorsements
	for id, file := range c.rims {
		end = append(end, attest.Endorsement{Label: attest.LabelNVIDIARIM + id, Data: vector(t, "rim/"+file)})
	}
	return end
}

func nvidiaVerifier(t testing.TB, kind attest.Kind) *nvgpu.Verifier {
	t.Helper()
	v, err := nvgpu.NewVerifier(kind)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// describe writes all that was established, one fact a line.
func describe(c *attest.Claims) string {
	d := c.Detail.(*nvgpu.Claims)
	o := d.Report.Opaque
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, chip %s, device %q, key %s\n", c.Kind, d.Arch, d.Chip, d.DeviceID, d.Identity())
	fmt.Fprintf(&b, "nonce %x\nendorsed %s to %s\n", c.Nonce, c.Endorsed.NotBefore.Format(time.RFC3339), c.Endorsed.NotAfter.Format(time.RFC3339))
	fmt.Fprintf(&b, "driver %q, vbios %q, project %q %q, chip sku %q, chip %q, board %x\n", o.Driver, o.VBIOS, o.Project, o.ProjectSKU, o.ChipSKU, o.Chip, o.Board)
	fmt.Fprintf(&b, "nvdec0 %#x, protected pcie %#x, firmware id %x compared %t\n", o.NVDEC0, o.ProtectedPCIe, d.FirmwareID, d.FirmwareCompared)
	fmt.Fprintf(&b, "rims %+v %+v, compared %t, golden %t\n", d.Driver, d.VBIOS, d.Compared(), d.Golden())
	for _, m := range d.Measurements {
		fmt.Fprintf(&b, "measurement %d %s %s\n", m.Index, m.Source, m.Outcome)
	}
	for i, m := range d.Report.Measurements {
		fmt.Fprintf(&b, "block %d type %d %x\n", i+1, m.Type, m.Value)
	}
	for _, r := range d.Revocation {
		fmt.Fprintf(&b, "certificate %q %s: %s\n", r.Subject, r.Serial, r.Status)
	}
	for _, check := range c.Checks {
		b.WriteString(check.String() + "\n")
	}
	return b.String()
}

// TestRealDevices compares everything that is said of each real device with a
// golden file.
func TestRealDevices(t *testing.T) {
	for _, c := range captures {
		t.Run(c.name, func(t *testing.T) {
			var got strings.Builder
			for i, ev := range c.evidence(t) {
				claims, err := nvidiaVerifier(t, ev.Kind).Verify(ev, c.endorsements(t), c.at)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "device %d\n%s", i+1, describe(claims))
			}
			compareGolden(t, filepath.Join("testdata", c.name+".golden"), got.String())
		})
	}
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; run with -update and look at the difference", path)
	}
}

// TestRealSwitchIsGolden: the one manifest that belongs to a capture accepts
// every measurement of it.
func TestRealSwitchIsGolden(t *testing.T) {
	c := captures[4]
	claims, err := nvidiaVerifier(t, attest.NVSwitch).Verify(c.evidence(t)[0], c.endorsements(t), c.at)
	if err != nil {
		t.Fatal(err)
	}
	d := claims.Detail.(*nvgpu.Claims)
	if !d.Golden() || len(d.Measurements) != 31 || d.VBIOS.Signer == "" || d.Revoked() != nvgpu.NotChecked {
		t.Errorf("golden %t, %d measurements, signer %q, revocation %s", d.Golden(), len(d.Measurements), d.VBIOS.Signer, d.Revoked())
	}
}

// TestRealManifests verifies every manifest that NVIDIA published, and refuses
// those that its tests damaged.
func TestRealManifests(t *testing.T) {
	bad := map[string]string{
		"NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml":        "bad_signature",
		"NV_GPU_DRIVER_GH100_570.124.03_expired.xml":                    "bad_signature",
		"NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml": "bad_signature",
		"incorrect_cert_chain_driver_rim.xml":                           "untrusted_root",
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "rim", "*"))
	if err != nil || len(files) < 25 {
		t.Fatalf("%d manifests, %v", len(files), err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		code, err := nvgpu.VerifyManifest(vector(t, "rim/"+name))
		if err != nil || code != bad[name] {
			t.Errorf("%s: %q, %v, want %q", name, code, err, bad[name])
		}
	}
}

// TestRealManifestOutOfDate: a manifest whose signer's certificate has ended is
// refused, whoever asks.
func TestRealManifestOutOfDate(t *testing.T) {
	c := captures[4]
	for _, at := range []time.Time{day(2026, 5, 20), day(2028, 5, 20)} {
		_, err := nvidiaVerifier(t, attest.NVSwitch).Verify(c.evidence(t)[0], c.endorsements(t), at)
		casetest.Refused(t, err, "hardware.vbios_rim_validity", attest.CodeExpired)
	}
}

// TestRealManifestSwapped gives the switch a genuine manifest of something else.
func TestRealManifestSwapped(t *testing.T) {
	c := captures[4]
	for _, file := range []string{"1010_0200_882_96005E0001_PROD.swidtag", "Driver_RIM_test_no_gpu.swidtag"} {
		end := attest.Endorsements{{Label: attest.LabelNVIDIARIM + switchRIM, Data: vector(t, "rim/"+file)}}
		_, err := nvidiaVerifier(t, attest.NVSwitch).Verify(c.evidence(t)[0], end, day(2024, 7, 1))
		casetest.Refused(t, err, "hardware.vbios_rim_version", nvgpu.CodeRIMMismatch)
	}
}

// TestRealDevicesAltered changes one thing about each device.
func TestRealDevicesAltered(t *testing.T) {
	flip := func(at int, mask byte) func([]byte) { return func(b []byte) { b[at] ^= mask } }
	for _, c := range []struct {
		name, check string
		edit        func([]byte)
		code        attest.Code
	}{
		// The form's header is 8 bytes and the length of the report 4.
		{"nonce", "hardware.signature", flip(12+4, 1), attest.CodeBadSignature},
		{"request version", "hardware.report", flip(12, 3), nvgpu.CodeUnsupported},
		{"first measurement", "hardware.signature", flip(12+37+8+7, 1), attest.CodeBadSignature},
		{"measurement type", "hardware.signature", flip(12+37+8+4, 0x80), attest.CodeBadSignature},
		{"certificate", "hardware.chain", func(b []byte) { b[len(b)-60] = '!' }, attest.CodeMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, file := range captures {
				for _, ev := range file.evidence(t) {
					c.edit(ev.Data)
					_, err := nvidiaVerifier(t, ev.Kind).Verify(ev, nil, file.at)
					casetest.Refused(t, err, c.check, c.code)
				}
			}
		})
	}
}

// TestRealDevicesSwapped gives each report another device's certificates.
func TestRealDevicesSwapped(t *testing.T) {
	a, b := captures[0].evidence(t)[0], captures[1].evidence(t)[0]
	_, err := nvidiaVerifier(t, attest.NVIDIAGPU).Verify(nvgpu.Spliced(t, a, b), nil, captures[0].at)
	casetest.Refused(t, err, "hardware.signature", attest.CodeBadSignature)
	casetest.Refused(t, err, "hardware.firmware_id", nvgpu.CodeFirmwareMismatch)
}

// TestOtherVendorsRoots holds that a fake NVIDIA is not trusted, and that NVIDIA
// is not trusted by those who trust a fake one.
func TestOtherVendorsRoots(t *testing.T) {
	ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1})
	_, err := nvidiaVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.chain", attest.CodeUntrustedRoot)
	_, err = forgedVerifier(t, attest.NVIDIAGPU).Verify(captures[0].evidence(t)[0], nil, captures[0].at)
	casetest.Refused(t, err, "hardware.chain", attest.CodeUntrustedRoot)
}

// TestRealTime: the certificates of devices do not end, and do begin.
func TestRealTime(t *testing.T) {
	ev := captures[0].evidence(t)[0]
	v := nvidiaVerifier(t, attest.NVIDIAGPU)
	if _, err := v.Verify(ev, nil, day(2090, 1, 1)); err != nil {
		t.Error(err)
	}
	for _, at := range []time.Time{{}, day(2022, 1, 1)} {
		_, err := v.Verify(ev, nil, at)
		casetest.Refused(t, err, "hardware.validity", attest.CodeExpired)
	}
}

// TestSameSwitchTwice: the four entries of one capture are one device.
func TestSameSwitchTwice(t *testing.T) {
	ids := map[string]int{}
	for _, name := range []int{2, 5} {
		for _, ev := range captures[name].evidence(t) {
			claims, err := nvidiaVerifier(t, ev.Kind).Verify(ev, nil, captures[name].at)
			if err != nil {
				t.Fatal(err)
			}
			ids[claims.Detail.(*nvgpu.Claims).Identity()]++
		}
	}
	if len(ids) != 5 {
		t.Errorf("%d devices, want four GPUs and one switch", len(ids))
	}
}

// TestVectorsUnchanged compares the captures with their digests.
func TestVectorsUnchanged(t *testing.T) { casetest.Unchanged(t, vectorDir, 30) }

// TestEvidenceFiles refuses files in which something contradicts the report.
func TestEvidenceFiles(t *testing.T) {
	whole := vector(t, "hopper_evidence.json")
	for name, edit := range map[string]func([]byte) []byte{
		"architecture": func(b []byte) []byte { return bytes.Replace(b, []byte("HOPPER"), []byte("AMPERE"), 1) },
		"nonce":        func(b []byte) []byte { return bytes.Replace(b, []byte(`"e97b`), []byte(`"e97c`), 1) },
		"no list":      func(b []byte) []byte { return []byte(`{}`) },
		"empty list":   func(b []byte) []byte { return []byte(`[]`) },
		"member twice": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"arch"`), []byte(`"arch": "HOPPER", "arch"`), 1)
		},
		"other case":         func(b []byte) []byte { return bytes.Replace(b, []byte(`"arch"`), []byte(`"ARCH"`), 1) },
		"cut":                func(b []byte) []byte { return b[:len(b)-3] },
		"evidence no base64": func(b []byte) []byte { return bytes.Replace(b, []byte(`EeAB/`), []byte(`EeAB*`), 1) },
		"too large":          func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), attest.MaxBundle)...) },
		"evidence with more": func(b []byte) []byte {
			return regexp.MustCompile(`("evidence": *"[^"]*)"`).ReplaceAll(b, []byte(`$1*"`))
		},
		"certificate no base64": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"certificate": "`), []byte(`"certificate": "*`), 1)
		},
		"evidence cut": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"evidence": "`), []byte(`"evidence": "", "more": "`), 1)
		},
		"nonce no hex":   func(b []byte) []byte { return bytes.Replace(b, []byte(`"e97b`), []byte(`"xe97b`), 1) },
		"nonce and half": func(b []byte) []byte { return bytes.Replace(b, nonceOf(t, b), append(nonceOf(t, b), '0'), 1) },
		"33 devices": func(b []byte) []byte {
			one := bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(b), []byte("[")), []byte("]"))
			return slices.Concat([]byte("["), bytes.Repeat(append(one, ','), 32), one, []byte("]"))
		},
	} {
		if list, err := nvgpu.FromNVIDIAJSON(edit(bytes.Clone(whole))); err == nil || list != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := nvgpu.FromNVIDIAText(attest.TDX, vector(t, "hopperAttestationReport.txt"), nil); err == nil {
		t.Error("text file of a processor: accepted")
	}
	text := bytes.TrimSpace(vector(t, "hopperAttestationReport.txt"))
	if _, err := nvgpu.FromNVIDIAText(attest.NVIDIAGPU, append(text, '\n'), nil); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"no hex": []byte("11e0zz"), "half a byte": append(bytes.Clone(text), '0'), "no report": text[:len(text)-2],
		"too long": append(bytes.Clone(text), bytes.Repeat([]byte(" "), 128<<10)...),
	} {
		if _, err := nvgpu.FromNVIDIAText(attest.NVIDIAGPU, b, nil); err == nil {
			t.Errorf("text file with %s: accepted", name)
		}
	}
}

// nonceOf returns the first nonce in an evidence file.
func nonceOf(t *testing.T, file []byte) []byte {
	t.Helper()
	i := bytes.Index(file, []byte(`"e97b`))
	if i < 0 {
		t.Fatal("no nonce")
	}
	return bytes.Clone(file[i+1 : i+65])
}
