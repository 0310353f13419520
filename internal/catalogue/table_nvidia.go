package catalogue

import "github.com/blindbox/blindbox/attest"

// The codes of NVIDIA's GPUs and switches are declared by attest/nvgpu and
// appraise.

// nvidia returns 292 to 299: a GPU or switch in a state that is not acceptable.
func nvidia() []Entry { return append(nvidiaDevice(), nvidiaCollateral()...) }

func nvidiaDevice() []Entry {
	return []Entry{
		{
			Number: 292, Codes: []attest.Code{"unknown_chip", "architecture_not_allowed"},
			Title:   "a GPU of an architecture that is not accepted",
			Cause:   "The chip is none whose reports are known (Hopper, Blackwell, the LS10 switch), or the trust file does not list its architecture.",
			NotDone: nothingSent,
			Fix:     "If you accept the architecture, add it: `hardware: {gpu: {architectures: [HOPPER, BLACKWELL]}}`.",
			Example: "BBX-292 hardware: a GPU of an architecture that is not accepted\n  seen       BLACKWELL\n  expected   HOPPER\n  nothing was sent.",
		},
		{
			Number: 293, Codes: []attest.Code{"firmware_id_mismatch"},
			Title:   "the GPU's key was certified for other firmware",
			Cause:   "The report names other firmware than the certificate of the key that signed it. Report and certificate are of two devices, or of two states of one.",
			NotDone: nothingSent,
			Fix:     "Have the operator collect report and certificates anew, together. On a connection: treat the evidence as forged.",
			Example: "BBX-293 hardware: the GPU's key was certified for other firmware\n  seen       956ecf09..6211d\n  expected   e9960d6a..75033\n  nothing was sent.",
		},
		{
			Number: 294, Codes: []attest.Code{"rim_mismatch", "rim_conflict"},
			Title:   "a manifest of something else than the GPU runs",
			Cause:   "NVIDIA signed the manifest, but for another chip or version than the report names, or two manifests speak of the same measurement.",
			NotDone: nothingSent,
			Fix:     "Fetch the manifests whose names the report gives; `blindbox endorsements fetch` does.",
			Example: "BBX-294 hardware: a manifest of something else than the GPU runs\n  seen       \"GH100\" \"550.54.15\"\n  expected   \"GH100\" \"550.90.07\"\n  nothing was sent.",
		},
		{
			Number: 295, Codes: []attest.Code{"gpu_measurement"},
			Title:   "the GPU runs what NVIDIA's manifests do not list",
			Cause:   "A measurement of the GPU's firmware, driver or settings is none of the values that NVIDIA published for this version. It was changed, or is not in confidential mode.",
			NotDone: nothingSent,
			Fix:     "Have the operator reinstall driver and VBIOS, and switch confidential computing on. No trust file can allow it.",
			Example: "BBX-295 hardware: the GPU runs what NVIDIA's manifests do not list\n  seen       measurement 9 (vbios) is another\n  expected   what NVIDIA's manifests list\n  nothing was sent.",
		},
		{
			Number: 296, Codes: []attest.Code{"gpu_version_not_allowed"},
			Title:   "the GPU runs a driver or VBIOS that you do not accept",
			Cause:   "Driver or VBIOS are genuine, and of a version that the trust file does not list.",
			NotDone: nothingSent,
			Fix:     "If you accept the version, add it under `hardware: {gpu: {driver: [...], vbios: [...]}}`.",
			Example: "BBX-296 hardware: the GPU runs a driver or VBIOS that you do not accept\n  seen       \"550.54.15\"\n  expected   550.90.07\n  nothing was sent.",
		},
	}
}

func nvidiaCollateral() []Entry {
	return []Entry{
		{
			Number: 297, Codes: []attest.Code{"certificate_hold", "ocsp_unknown"},
			Title:   "NVIDIA does not vouch for a certificate at present",
			Cause:   "NVIDIA suspended a certificate (hold), which it may lift again, or its responder does not know the certificate.",
			NotDone: nothingSent,
			Fix:     "Ask the operator; NVIDIA puts certificates on hold while firmware is in question. To accept a hold knowingly, write `hardware: {gpu: {revocation: allow_hold}}`.",
			Example: "BBX-297 hardware: NVIDIA does not vouch for a certificate at present\n  seen       NVIDIA suspended \"NVIDIA GH100 Provisioner ICA 1\"\n  expected   no certificate on hold\n  nothing was sent.",
		},
		{
			Number: 298, Codes: []attest.Code{"bad_ocsp", "stale_ocsp"},
			Title:   "an OCSP response that says nothing about now",
			Cause:   "The response about a certificate is past its next update, from the future, about another certificate, or not by the certificate's issuer.",
			NotDone: nothingSent,
			Fix:     "Have the box fetch new responses, and check the clock on both sides.",
			Example: "BBX-298 hardware: an OCSP response that says nothing about now\n  seen       in force until 2026-06-14T12:00:00Z\n  expected   in force at 2026-06-15T12:00:00Z\n  nothing was sent.",
		},
		{
			Number: 299, Codes: []attest.Code{"part_duplicate"},
			Title:   "one GPU shown as two",
			Cause:   "Two parts of the evidence were signed by one device. The others may be GPUs that are not in confidential mode.",
			NotDone: nothingSent,
			Fix:     "Treat it as an attack, or as a fault of the software that collects the evidence.",
			Example: "BBX-299 hardware: one GPU shown as two\n  seen       parts 2 and 3 are one device\n  expected   a device for each part\n  nothing was sent.",
		},
	}
}

// notOfNVIDIA returns 305: nothing was there to judge a GPU by.
func notOfNVIDIA() []Entry {
	return []Entry{
		{
			Number: 305, Codes: []attest.Code{"no_rim", "no_ocsp", "no_firmware_id", "place_not_proven"},
			Title:   "something about a GPU is not known",
			Cause:   "No manifest or OCSP response was given, the firmware is too old to name itself, or, always: a GPU's report does not say which machine the GPU sits in.",
			NotDone: "Where the trust file says `require`, nothing was sent; otherwise the check shows SKIP.",
			Fix:     "Have the box staple NVIDIA's manifests and OCSP responses: `blindbox endorsements fetch`. To accept the gap, write `measurements: allow_missing` or `revocation: allow_missing` under `hardware: {gpu: ...}`.",
			Example: "BBX-305 hardware: something about a GPU is not known\n  seen       not compared: no manifest for NV_GPU_DRIVER_GH100_550.90.07\n  expected   what NVIDIA's manifests list\n  nothing was sent.",
		},
	}
}
