package appraise

import (
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/tpm"
)

// tpmFile is a trust file for a machine with a TPM; edits replace text.
func tpmFile(edits ...string) string {
	v := strings.Repeat("ab", 32)
	text := `version: 1
accept:
  - name: demo
    tpm: {pcrs: {pcr0: any, pcr2: zero, pcr4: "V", pcr7: "V", pcr9: "V", pcr11: "V"}}
    azure-sev-snp: {measurement: "M", pcrs: {pcr4: "V", pcr7: "V", pcr9: "V", pcr11: any}}
    policy: sha256:V
hardware:
  tpm: {ak_names: ["000bV"], secure_boot: allow, clock: allow, firmware: [0x10], unencrypted_memory: allow}
  azure: {console: allow, secure_boot: forbid, clock: allow, firmware: [0x20, 0x21]}
`
	text = strings.NewReplacer(edits...).Replace(text)
	return strings.NewReplacer("V", v, "M", strings.Repeat("cd", 48)).Replace(text)
}

// TestTPMFile: a file says the same after it was written again.
func TestTPMFile(t *testing.T) {
	trust, err := ParseTrust([]byte(tpmFile()))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseTrust(trust.Marshal())
	if err != nil {
		t.Fatalf("%v\n%s", err, trust.Marshal())
	}
	if d := Diff(trust, again); len(d) != 0 {
		t.Errorf("differs after it was written: %v\n%s", d, trust.Marshal())
	}
	for _, part := range []string{"pcr12: zero", "pcr0: any", "pcr2: zero", "ak_names", "secure_boot: allow", "secure_boot: forbid", "clock: allow", "firmware", "console: allow", "unencrypted_memory: allow"} {
		if !strings.Contains(string(again.Marshal()), part) {
			t.Errorf("%q is missing in\n%s", part, again.Marshal())
		}
	}
}

// TestTPMFileRefused: what nobody can have meant is an error.
func TestTPMFileRefused(t *testing.T) {
	for name, edits := range map[string][]string{
		"beside others":        {", unencrypted_memory: allow", ""},
		"memory forbidden":     {"unencrypted_memory: allow", "unencrypted_memory: forbid"},
		"memory required":      {"unencrypted_memory: allow", "unencrypted_memory: require"},
		"no registers":         {"pcr0: any, pcr2: zero, pcr4: \"V\", pcr7: \"V\", pcr9: \"V\", pcr11: \"V\"", ""},
		"register left out":    {"pcr0: any, ", ""},
		"kernel left out":      {"pcr11: \"V\"}}", "}}"},
		"azure left out":       {", pcr11: any", ""},
		"register 24":          {"pcr0: any", "pcr0: any, pcr24: any"},
		"no register":          {"pcr0: any", "pcr00: any"},
		"zeros":                {"pcr0: any", "pcr0: \"" + strings.Repeat("00", 32) + "\""},
		"short value":          {"pcr0: any", "pcr0: \"abcd\""},
		"another word":         {"pcr0: any", "pcr0: none"},
		"no value":             {"pcr0: any", "pcr0: "},
		"measurement of zeros": {"measurement: \"M\"", "measurement: zero"},
		"no measurement":       {"measurement: \"M\", ", ""},
		"name of SHA-1":        {"000bV", "0004V"},
		"short name":           {"000bV", "000bab"},
		"name twice":           {"[\"000bV\"]", "[\"000bV\", \"000bV\"]"},
		"firmware as text":     {"[0x10]", "[sixteen]"},
		"rule":                 {"console: allow", "console: maybe"},
	} {
		if _, err := ParseTrust([]byte(tpmFile(edits...))); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

// TestPCRValue: the zero value accepts nothing, and nothing accepts a register that
// was not quoted.
func TestPCRValue(t *testing.T) {
	one, zero := []byte{1}, []byte{0}
	for name, c := range map[string]struct {
		value pcrValue
		seen  []byte
		want  bool
	}{
		"unset":             {pcrValue{}, one, false},
		"unset, zeros":      {pcrValue{}, zero, false},
		"any":               {pcrValue{any: true}, one, true},
		"any, not quoted":   {pcrValue{any: true}, nil, false},
		"zero":              {pcrValue{zero: true}, zero, true},
		"zero, extended":    {pcrValue{zero: true}, one, false},
		"zero, not quoted":  {pcrValue{zero: true}, nil, false},
		"value":             {pcrValue{value: "\x01"}, one, true},
		"value, another":    {pcrValue{value: "\x01"}, zero, false},
		"value, not quoted": {pcrValue{value: "\x01"}, nil, false},
	} {
		if got := c.value.accepts(c.seen); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (tpmReference{}).matches(&attest.Claims{Detail: &tpm.Claims{}}) || (tpmReference{0: {any: true}}).matches(&attest.Claims{}) {
		t.Error("no reference values, or no registers, match")
	}
	if (azureReference{}).matches(&attest.Claims{Measurement: make([]byte, 48), Detail: &azure.Claims{}}) {
		t.Error("an empty reference value matches")
	}
}

// TestAzureReference: kind, paravisor and registers all count.
func TestAzureReference(t *testing.T) {
	detail := &azure.Claims{TPM: &tpm.Claims{PCRs: map[uint8][]byte{4: {1}}}}
	registers := tpmReference{4: {value: "\x01"}}
	paravisor := register48{value: [48]byte{1}}
	seen := append([]byte{1}, make([]byte, 47)...)
	good := azureReference{attest.AzureSNP, paravisor, registers}
	if !good.matches(&attest.Claims{Kind: attest.AzureSNP, Measurement: seen, Detail: detail}) {
		t.Fatal("the machine itself does not match")
	}
	for name, c := range map[string]struct {
		v     azureReference
		kind  attest.Kind
		image []byte
	}{
		"another kind":       {good, attest.AzureTDX, seen},
		"no paravisor":       {good, attest.AzureSNP, nil},
		"longer":             {good, attest.AzureSNP, append(seen, 0)},
		"another paravisor":  {good, attest.AzureSNP, make([]byte, 48)},
		"no value":           {azureReference{attest.AzureSNP, register48{}, registers}, attest.AzureSNP, make([]byte, 48)},
		"another register":   {azureReference{attest.AzureSNP, paravisor, tpmReference{4: {value: "\x02"}}}, attest.AzureSNP, seen},
		"register not there": {azureReference{attest.AzureSNP, paravisor, tpmReference{5: {any: true}}}, attest.AzureSNP, seen},
	} {
		if c.v.matches(&attest.Claims{Kind: c.kind, Measurement: c.image, Detail: detail}) {
			t.Errorf("%s: matches", name)
		}
	}
}

// TestTPMBesideOthers: a TPM alone may stand in a file of its own, and beside
// hardware that encrypts memory only if the file says that this is meant.
func TestTPMBesideOthers(t *testing.T) {
	const alone = "version: 1\naccept:\n  - name: a\n    tpm: {pcrs: {pcr0: any, pcr2: any, pcr4: zero, pcr7: \"V\", pcr9: any, pcr11: any}}\n    policy: any\n"
	const other = "  - {name: b, sev-snp: {measurement: M}, policy: any}\n"
	const meant = "hardware: {tpm: {unencrypted_memory: allow}}\n"
	parse := func(text string) error {
		_, err := ParseTrust([]byte(strings.NewReplacer("V", strings.Repeat("ab", 32), "M", strings.Repeat("cd", 48)).Replace(text)))
		return err
	}
	for _, text := range []string{alone, alone + meant, alone + other + meant, "version: 1\naccept:\n" + other} {
		if err := parse(text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	reversed := strings.Replace(alone, "accept:\n", "accept:\n"+other, 1)
	for text, want := range map[string]string{alone + other: "accept[0].tpm", reversed: "accept[1].tpm", reversed + "hardware: {tpm: {clock: allow}}\n": "accept[1].tpm"} {
		if err := parse(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "unencrypted_memory: allow") {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// TestSaid: what the paravisor does not say meets only the rule that allows both.
func TestSaid(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		want rule
		on   *bool
		ok   bool
	}{
		{ruleRequire, &yes, true}, {ruleRequire, &no, false}, {ruleRequire, nil, false},
		{ruleForbid, &yes, false}, {ruleForbid, &no, true}, {ruleForbid, nil, false},
		{ruleAllow, &yes, true}, {ruleAllow, &no, true}, {ruleAllow, nil, true},
		{ruleUnset, &yes, false}, {ruleUnset, nil, false},
	} {
		a := &appraisal{}
		a.said("hardware.said", c.want, c.on)
		if got := attest.FailureOf(a.checks) == nil; got != c.ok || len(a.checks) != 1 {
			t.Errorf("%s: %v", c.want, a.checks)
		}
	}
}

// TestTPMJudged: each check on a TPM fails alone for what it is about.
func TestTPMJudged(t *testing.T) {
	known := []byte{0, 11, 1}
	for name, c := range map[string]struct {
		rules func(*tpmRules)
		edit  func(*tpm.Claims)
		fails string
		code  attest.Code
	}{
		"healthy":           {},
		"unbound":           {edit: func(d *tpm.Claims) { d.Binding = tpm.Unbound }, fails: checkAK, code: CodeTPMUnbound},
		"by hardware":       {edit: func(d *tpm.Claims) { d.Binding = tpm.ByHardware }, fails: checkAK, code: CodeTPMUnbound},
		"named":             {rules: func(q *tpmRules) { q.akNames = []hexName{known} }, edit: func(d *tpm.Claims) { d.Binding = tpm.Unbound }},
		"another named":     {rules: func(q *tpmRules) { q.akNames = []hexName{{0, 11, 2}} }, fails: checkAK, code: CodeAK},
		"firmware":          {rules: func(q *tpmRules) { q.firmware = []hexMask{1, 7} }},
		"another firmware":  {rules: func(q *tpmRules) { q.firmware = []hexMask{8} }, fails: "hardware.tpm_firmware", code: CodeTPMFirmware},
		"clock":             {edit: func(d *tpm.Claims) { d.Quote.Clock.Safe = false }, fails: "hardware.tpm_clock", code: CodeTPMClock},
		"no log":            {edit: func(d *tpm.Claims) { d.Boot = nil }, fails: "hardware.accepted_secure_boot", code: CodeSecureBoot},
		"no Secure Boot":    {edit: func(d *tpm.Claims) { d.Boot.SecureBoot = nil }, fails: "hardware.accepted_secure_boot", code: CodeSecureBoot},
		"Secure Boot off":   {edit: func(d *tpm.Claims) { d.Boot.SecureBoot.Enabled = false }, fails: "hardware.accepted_secure_boot", code: CodeSecureBoot},
		"still in firmware": {edit: func(d *tpm.Claims) { d.Boot.ExitedBootServices = false }, fails: "hardware.accepted_boot", code: CodeSecureBoot},
	} {
		d := &tpm.Claims{
			AKName: known, Binding: tpm.Activated, Quote: &tpm.Quote{FirmwareVersion: 7, Clock: tpm.ClockInfo{Safe: true}},
			Boot: &tpm.Boot{ExitedBootServices: true, SecureBoot: &tpm.SecureBoot{Enabled: true}},
		}
		a := &appraisal{trust: defaults()}
		if c.edit != nil {
			c.edit(d)
		}
		if c.rules != nil {
			c.rules(&a.trust.hardware.tpm)
		}
		tpmMachine{&attest.Claims{Kind: attest.TPM}, d}.judge(a)
		var failed []string
		memory := 0
		for _, check := range a.checks {
			if check.Status == attest.Fail {
				failed = append(failed, check.Name+" "+string(check.Code))
			}
			if check.Name == "hardware.memory_encryption" && check.Status == attest.Skip && check.Code == CodeNotRequired {
				memory++
			}
		}
		if memory != 1 {
			t.Errorf("%s: nothing says that the memory is not encrypted: %v", name, a.checks)
		}
		if want := strings.TrimSpace(c.fails + " " + string(c.code)); strings.Join(failed, ", ") != want {
			t.Errorf("%s: failed %q, want %q", name, failed, want)
		}
	}
}

// TestCertifiedKeyRevocation: a certificate counts as long as something says that
// it was not revoked, unless the trust file does without. A key that the file names
// needs no certificate.
func TestCertifiedKeyRevocation(t *testing.T) {
	at := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	list := tpm.Revocation{Checked: true, ThisUpdate: at.AddDate(0, 0, -7), NextUpdate: at.AddDate(0, 0, 7)}
	for name, c := range map[string]struct {
		edit func(*hardware, *tpm.Claims)
		want attest.Status
		code attest.Code
	}{
		"list":           {func(_ *hardware, d *tpm.Claims) { d.AKCRL = list }, attest.Pass, ""},
		"old list":       {func(h *hardware, d *tpm.Claims) { d.AKCRL, h.crlMaxAge = list, 24*time.Hour }, attest.Fail, attest.CodeStaleCRL},
		"none":           {func(*hardware, *tpm.Claims) {}, attest.Fail, attest.CodeNoCRL},
		"none, accepted": {func(h *hardware, _ *tpm.Claims) { h.revocation = revocationAllowMissing }, attest.Skip, attest.CodeNoCRL},
	} {
		d := &tpm.Claims{AKName: []byte{0, 11, 1}, Binding: tpm.Certified}
		a := &appraisal{trust: defaults(), at: at}
		c.edit(&a.trust.hardware, d)
		a.attestationKey(a.trust.hardware.tpm, d)
		last := a.checks[len(a.checks)-1]
		if len(a.checks) != 2 || a.checks[0].Status != attest.Pass || last.Name != "hardware.revocation_key" || last.Status != c.want || last.Code != c.code {
			t.Errorf("%s: %v", name, a.checks)
		}
	}
	named := &appraisal{trust: defaults(), at: at}
	named.attestationKey(tpmRules{akNames: []hexName{{0, 11, 1}}}, &tpm.Claims{AKName: []byte{0, 11, 1}, Binding: tpm.Certified})
	if len(named.checks) != 1 || named.checks[0].Status != attest.Pass {
		t.Errorf("named: %v", named.checks)
	}
	for _, revocation := range []tpm.Revocation{{}, list} {
		u := &firstUse{trust: defaults(), at: at}
		u.tpm(&tpm.Claims{Binding: tpm.Certified, AKCRL: revocation, Quote: &tpm.Quote{}, PCRs: map[uint8][]byte{4: {1}}})
		if loosened := u.trust.hardware.revocation == revocationAllowMissing; loosened == revocation.Checked {
			t.Errorf("first use, list %t: loosened %t", revocation.Checked, loosened)
		}
	}
}

// TestMachinesRefused: claims with parts missing are judged by nobody.
func TestMachinesRefused(t *testing.T) {
	quote := &tpm.Quote{}
	whole := &tpm.Claims{Quote: quote, PCRs: map[uint8][]byte{0: {1}}}
	for name, detail := range map[string]any{
		"no TPM":         (*tpm.Claims)(nil),
		"no quote":       &tpm.Claims{PCRs: whole.PCRs},
		"no registers":   &tpm.Claims{Quote: quote},
		"no Azure":       (*azure.Claims)(nil),
		"no hardware":    &azure.Claims{Runtime: &azure.Runtime{}, TPM: whole},
		"no runtime":     &azure.Claims{Hardware: &attest.Claims{}, TPM: whole},
		"no vTPM":        &azure.Claims{Hardware: &attest.Claims{}, Runtime: &azure.Runtime{}},
		"other hardware": &azure.Claims{Hardware: &attest.Claims{}, Runtime: &azure.Runtime{}, TPM: whole},
		"nested": &azure.Claims{Runtime: &azure.Runtime{}, TPM: whole, Hardware: &attest.Claims{
			Detail: &azure.Claims{Runtime: &azure.Runtime{}, TPM: whole, Hardware: &attest.Claims{}},
		}},
	} {
		if m := machineOf(&attest.Claims{Kind: attest.TPM, Detail: detail}); m != nil {
			t.Errorf("%s: %T", name, m)
		}
	}
}

// TestFirstUseOfTPM: whoever writes a trust file from a machine with no more than
// a TPM is told what it does not protect.
func TestFirstUseOfTPM(t *testing.T) {
	u := &firstUse{trust: defaults()}
	u.tpm(&tpm.Claims{Quote: &tpm.Quote{}, PCRs: map[uint8][]byte{4: {1}}})
	if got := u.trust.Loosened(); len(got) == 0 || !strings.Contains(got[0], "memory is NOT encrypted") {
		t.Errorf("%q", got)
	}
}
