package appraise

import (
	"strings"
	"testing"

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
  tpm: {ak_names: ["000bV"], secure_boot: allow, clock: allow, firmware: [0x10]}
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
	for _, part := range []string{"pcr12: zero", "pcr0: any", "pcr2: zero", "ak_names", "secure_boot: allow", "secure_boot: forbid", "clock: allow", "firmware", "console: allow"} {
		if !strings.Contains(string(again.Marshal()), part) {
			t.Errorf("%q is missing in\n%s", part, again.Marshal())
		}
	}
}

// TestTPMFileRefused: what nobody can have meant is an error.
func TestTPMFileRefused(t *testing.T) {
	for name, edits := range map[string][]string{
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
