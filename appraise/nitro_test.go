package appraise

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/nitro"
)

// enclaveClaims are those of a real verification of a fake enclave.
func enclaveClaims(t *testing.T, userData [64]byte, opts ...attesttest.EnclaveOption) *attest.Claims {
	t.Helper()
	aws := attesttest.NewAWS()
	v, err := nitro.NewVerifierWithRoots(aws.Root(t))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(aws.Make(t, userData, opts...), nil, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func pcrHex(i uint64) string { return pcrRule{value: attesttest.EnclavePCR(i)}.String() }

// nitroFile is a trust file for the enclave of attesttest.
func nitroFile(registers, rules string) string {
	out := "version: 1\naccept:\n  - name: enclave\n    nitro: {" + registers + "}\n    policy: any\n"
	if rules != "" {
		out += "hardware:\n  nitro: {" + rules + "}\n"
	}
	return out
}

func imageRegisters() string {
	return "pcr0: " + pcrHex(0) + ", pcr1: " + pcrHex(1) + ", pcr2: " + pcrHex(2)
}

// onConnection is an input that a connection gave, for a box with testPolicy.
func onConnection(t *testing.T, opts ...attesttest.EnclaveOption) Input {
	t.Helper()
	at := attesttest.Epoch()
	digest := policyDigestOf(testPolicy)
	s := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		Policy: digest, NotBefore: at, NotAfter: at.Add(time.Minute),
	}
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	opts = append([]attesttest.EnclaveOption{attesttest.EnclavePolicy(digest)}, opts...)
	return Input{
		Claims: enclaveClaims(t, b.Bytes(), opts...), Statement: s, Policy: []byte(testPolicy),
		Channel: s.Compare(attest.Expected{Purpose: s.Purpose, Role: s.Role, Nonce: s.Nonce, SPKI: s.SPKI, Exporter: s.Exporter, Policy: digest, At: at, Skew: time.Minute}),
	}
}

func TestNitroTrusted(t *testing.T) {
	trust, err := ParseTrust([]byte(nitroFile(imageRegisters()+", pcr3: none, pcr4: any, pcr8: "+pcrHex(8), "instances: ["+attesttest.EnclaveInstance+"], public_key: forbid, max_age: 1m")))
	if err != nil {
		t.Fatal(err)
	}
	r := trust.Appraise(onConnection(t), attesttest.Epoch())
	if !r.Trusted() {
		t.Fatalf("refused: %v", r.Err())
	}
	if got := nitroMachine.summary(r.machine.(nitroMachine), r); !strings.Contains(got, attesttest.EnclaveModule) || !strings.Contains(got, "AWS") {
		t.Errorf("summary %q", got)
	}
	data, err := json.Marshal(r.machine.document())
	if err != nil || !bytes.Contains(data, []byte(`"kind":"nitro"`)) || !bytes.Contains(data, []byte(`"0":"`+pcrHex(0))) || bytes.Contains(data, []byte(`"3":`)) {
		t.Errorf("document %s: %v", data, err)
	}
}

// TestNitroRefused changes one thing about the enclave or the trust file.
func TestNitroRefused(t *testing.T) {
	all, now := imageRegisters(), attesttest.Epoch()
	other := bytes.Repeat([]byte{7}, 48)
	for name, c := range map[string]struct {
		registers, rules string
		opts             []attesttest.EnclaveOption
		at               time.Time
		check            string
		code             attest.Code
	}{
		"debug":            {registers: all, opts: []attesttest.EnclaveOption{attesttest.DebugEnclave()}, check: "hardware.debug", code: CodeDebug},
		"debug, any":       {registers: "pcr0: any, pcr1: any, pcr2: any", opts: []attesttest.EnclaveOption{attesttest.DebugEnclave()}, check: "hardware.debug", code: CodeDebug},
		"pcr0":             {registers: all, opts: []attesttest.EnclaveOption{attesttest.SetPCR(0, other)}, check: checkMeasurement, code: CodeMeasurement},
		"pcr1":             {registers: all, opts: []attesttest.EnclaveOption{attesttest.SetPCR(1, other)}, check: checkMeasurement, code: CodeMeasurement},
		"pcr2":             {registers: all, opts: []attesttest.EnclaveOption{attesttest.SetPCR(2, other)}, check: checkMeasurement, code: CodeMeasurement},
		"none and one":     {registers: all + ", pcr3: none", opts: []attesttest.EnclaveOption{attesttest.SetPCR(3, other)}, check: checkMeasurement, code: CodeMeasurement},
		"any and missing":  {registers: all + ", pcr8: any", opts: []attesttest.EnclaveOption{attesttest.SetPCR(8, nil)}, check: checkMeasurement, code: CodeMeasurement},
		"none and missing": {registers: all + ", pcr3: none", opts: []attesttest.EnclaveOption{attesttest.SetPCR(3, nil)}, check: checkMeasurement, code: CodeMeasurement},
		"old":              {registers: all, at: now.Add(11*time.Minute + time.Second), check: "hardware.age", code: attest.CodeStaleEvidence},
		"old by rule":      {registers: all, rules: "max_age: 1m", at: now.Add(2*time.Minute + time.Second), check: "hardware.age", code: attest.CodeStaleEvidence},
		"future":           {registers: all, at: now.Add(-time.Minute - time.Second), check: "hardware.age", code: attest.CodeClock},
		"instance":         {registers: all, rules: "instances: [i-1, i-2]", check: "hardware.instance", code: CodeInstance},
		"no key":           {registers: all, rules: "public_key: require", check: "hardware.public_key", code: CodePublicKey},
		"key":              {registers: all, rules: "public_key: forbid", opts: []attesttest.EnclaveOption{attesttest.EditEnclave(func(d *attesttest.EnclaveDocument) { d.PublicKey = []byte{1} })}, check: "hardware.public_key", code: CodePublicKey},
		"policy":           {registers: all, opts: []attesttest.EnclaveOption{attesttest.EnclavePolicy([32]byte{1})}, check: checkPolicyLaunch, code: CodeLaunchPolicy},
		"no policy":        {registers: all, opts: []attesttest.EnclaveOption{attesttest.SetPCR(16, nil)}, check: checkPolicyLaunch, code: CodeLaunchPolicy},
		"empty pcr16":      {registers: all, opts: []attesttest.EnclaveOption{attesttest.SetPCR(16, make([]byte, 48))}, check: checkPolicyLaunch, code: CodeLaunchPolicy},
		"short user data":  {registers: all, opts: []attesttest.EnclaveOption{attesttest.EditEnclave(func(d *attesttest.EnclaveDocument) { d.UserData = d.UserData[:63] })}, check: checkBound, code: attest.CodeNotBound},
		"user data as nonce": {registers: all, opts: []attesttest.EnclaveOption{attesttest.EditEnclave(func(d *attesttest.EnclaveDocument) {
			d.UserData, d.Nonce = nil, d.UserData
		})}, check: checkBound, code: attest.CodeNotBound},
	} {
		t.Run(name, func(t *testing.T) {
			trust, err := ParseTrust([]byte(nitroFile(c.registers, c.rules)))
			if err != nil {
				t.Fatal(err)
			}
			if c.at.IsZero() {
				c.at = now
			}
			r := trust.Appraise(onConnection(t, c.opts...), c.at)
			if r.Trusted() || !slices.ContainsFunc(r.Checks(), func(got attest.Check) bool {
				return got.Name == c.check && got.Status == attest.Fail && got.Code == c.code
			}) {
				t.Errorf("verdict %v, want %s to fail with %s: %v", r.Trusted(), c.check, c.code, r.Err())
			}
			if name == "no policy" && !strings.Contains(r.Err().Error(), "launched with none") {
				t.Errorf("error %v, want it to say that there is none", r.Err())
			}
		})
	}
}

// TestNitroEdges holds the ends of what is accepted.
func TestNitroEdges(t *testing.T) {
	trust, err := ParseTrust([]byte(nitroFile(imageRegisters(), "")))
	if err != nil {
		t.Fatal(err)
	}
	in := onConnection(t)
	for _, at := range []time.Duration{11 * time.Minute, -time.Minute} {
		for _, c := range trust.Appraise(in, attesttest.Epoch().Add(at)).Checks() {
			if c.Name == "hardware.age" && c.Status != attest.Pass {
				t.Errorf("at %s: %s", at, c)
			}
		}
	}
}

// TestNitroInconsistent holds that claims that contradict their document are
// refused, whoever made them.
func TestNitroInconsistent(t *testing.T) {
	trust, err := ParseTrust([]byte(nitroFile(imageRegisters(), "")))
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*attest.Claims){
		"report data":   func(c *attest.Claims) { c.ReportData[0] ^= 1 },
		"measurement":   func(c *attest.Claims) { c.Measurement = make([]byte, 48) },
		"launch digest": func(c *attest.Claims) { c.LaunchDigest = nil },
		"nonce":         func(c *attest.Claims) { c.Nonce = []byte{} },
		"no PCR0":       func(c *attest.Claims) { delete(c.Detail.(*nitro.Claims).Document.PCRs, 0) },
		"no document":   func(c *attest.Claims) { c.Detail = &nitro.Claims{} },
		"nil":           func(c *attest.Claims) { c.Detail = (*nitro.Claims)(nil) },
		"kind":          func(c *attest.Claims) { c.Kind = attest.SGX },
	} {
		in := onConnection(t)
		edit(in.Claims)
		if r := trust.Appraise(in, attesttest.Epoch()); r.Trusted() {
			t.Errorf("%s: trusted", name)
		}
	}
}

// TestNitroTrustFiles holds what a trust file may not say.
func TestNitroTrustFiles(t *testing.T) {
	all := imageRegisters()
	for name, doc := range map[string]string{
		"nothing":           nitroFile("", ""),
		"pcr0 missing":      nitroFile("pcr1: any, pcr2: any", ""),
		"pcr1 missing":      nitroFile("pcr0: any, pcr2: any", ""),
		"pcr2 missing":      nitroFile("pcr0: any, pcr1: any", ""),
		"zeros":             nitroFile("pcr0: "+strings.Repeat("0", 96)+", pcr1: any, pcr2: any", ""),
		"none":              nitroFile("pcr0: any, pcr1: none, pcr2: any", ""),
		"short":             nitroFile("pcr0: any, pcr1: any, pcr2: 11", ""),
		"upper case":        nitroFile(strings.ToUpper(pcrHex(0)), ""),
		"pcr32":             nitroFile(all+", pcr32: any", ""),
		"pcr03":             nitroFile(all+", pcr03: any", ""),
		"pcr-1":             nitroFile(all+", pcr-1: any", ""),
		"PCR3":              nitroFile(all+", PCR3: any", ""),
		"3":                 nitroFile(all+`, "3": any`, ""),
		"pcr":               nitroFile(all+", pcr: any", ""),
		"twice":             nitroFile(all+", pcr3: any, pcr3: any", ""),
		"measurement":       nitroFile(all+", measurement: any", ""),
		"list":              strings.Replace(nitroFile("x", ""), "{x}", "[pcr0]", 1),
		"instance":          nitroFile(all, "instances: [0a1b]"),
		"instance twice":    nitroFile(all, "instances: [i-1, i-1]"),
		"instance no digit": nitroFile(all, "instances: [i-]"),
		"max age":           nitroFile(all, "max_age: -1s"),
		"unknown rule":      nitroFile(all, "debug: allow"),
		"rules alone":       "version: 1\naccept:\n  - {name: a, sev-snp: {measurement: " + pcrHex(0) + "}, policy: any}\nhardware:\n  nitro: {max_age: 1m}\n",
	} {
		if trust, err := ParseTrust([]byte(doc)); err == nil || trust != nil {
			t.Errorf("%s: accepted:\n%s", name, doc)
		}
	}
}

// TestNitroMarshal holds that a trust file that is written reads the same.
func TestNitroMarshal(t *testing.T) {
	doc := nitroFile(imageRegisters()+", pcr3: none, pcr4: any, pcr16: "+pcrHex(16), "max_age: 30s, instances: [i-1], public_key: require")
	first, err := ParseTrust([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	second, err := ParseTrust(first.Marshal())
	if err != nil {
		t.Fatalf("%v\n%s", err, first.Marshal())
	}
	if !bytes.Equal(first.Marshal(), second.Marshal()) || len(Diff(first, second)) != 0 {
		t.Errorf("written and read:\n%s\n%s", first.Marshal(), second.Marshal())
	}
	for _, want := range []string{"pcr3: none", "pcr4: any", "max_age: 30s", "instances: [i-1]", "public_key: require"} {
		if !bytes.Contains(first.Marshal(), []byte(want)) {
			t.Errorf("no %q in\n%s", want, first.Marshal())
		}
	}
}

// TestNitroFirstUse holds that the file that is written for an enclave accepts
// it and no other.
func TestNitroFirstUse(t *testing.T) {
	in, at := onConnection(t), attesttest.Epoch()
	written := FromClaims(in.Claims, in.Statement, in.Policy, "enclave", at)
	trust, err := ParseTrust(written.Marshal())
	if err != nil {
		t.Fatalf("%v\n%s", err, written.Marshal())
	}
	if r := trust.Appraise(in, at); !r.Trusted() {
		t.Errorf("refused: %v\n%s", r.Err(), written.Marshal())
	}
	for _, i := range []uint64{0, 1, 2, 8} {
		other := onConnection(t, attesttest.SetPCR(i, bytes.Repeat([]byte{3}, 48)))
		if trust.Appraise(other, at).Trusted() {
			t.Errorf("another PCR%d is trusted", i)
		}
	}
	if unsigned := FromClaims(onConnection(t, attesttest.SetPCR(8, make([]byte, 48))).Claims, in.Statement, in.Policy, "", at); bytes.Contains(unsigned.Marshal(), []byte("pcr8")) {
		t.Errorf("a signer that is not there:\n%s", unsigned.Marshal())
	}
	if debug := FromClaims(onConnection(t, attesttest.DebugEnclave()).Claims, in.Statement, in.Policy, "", at); len(debug.accept) != 0 {
		t.Errorf("an enclave in debug mode is accepted:\n%s", debug.Marshal())
	}
}

// TestNitroValues holds that values that were never set accept nothing.
func TestNitroValues(t *testing.T) {
	claims := enclaveClaims(t, [64]byte{1})
	if (nitroReference{}).matches(claims) || (nitroReference)(nil).matches(claims) || (pcrRule{}).accepts(nitro.PCR{}) || (pcrRule{}).accepts(nitro.PCR{1}) {
		t.Error("no value matches")
	}
	if (nitroReference{0: {any: true}}).matches(&attest.Claims{Detail: &nitro.Claims{}}) || (nitroReference{0: {any: true}}).matches(&attest.Claims{}) {
		t.Error("claims without a document match")
	}
}

func policyDigestOf(doc string) attest.Digest { return sha256.Sum256([]byte(doc)) }
