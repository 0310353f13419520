package appraise_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/attest/snp"
)

const document = "name: demo\nmodels:\n  - {name: tumour, builtin: tumour}\n"

// session is one connection, as both ends see it.
func session(t testing.TB, at time.Time) (attest.Statement, []attest.Check) {
	t.Helper()
	want := attest.Expected{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Exporter: [32]byte{3}, Policy: sha256.Sum256([]byte(document)), At: at, Skew: time.Minute,
	}
	s := attest.Statement{
		Purpose: want.Purpose, Role: want.Role, Nonce: want.Nonce, SPKI: want.SPKI, Exporter: want.Exporter,
		Policy: want.Policy, NotBefore: at, NotAfter: at.Add(time.Minute),
	}
	return s, s.Compare(want)
}

func bind(t testing.TB, s attest.Statement) attest.Bound {
	t.Helper()
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// everyMachine is a trust file that a healthy machine of the fake vendor meets
// and that asks for all that its catalogue of unhealthy ones lacks.
func everyMachine(t testing.TB) *appraise.Trust {
	t.Helper()
	var chips []string
	for _, l := range []attesttest.Line{attesttest.Genoa, attesttest.Turin} {
		id := make([]byte, 64)
		copy(id, attesttest.ChipID(l))
		chips = append(chips, fmt.Sprintf("%x", id))
	}
	trust, err := appraise.ParseTrust([]byte(fmt.Sprintf(`version: 1
accept:
  - {name: guest, sev-snp: {measurement: %x}, policy: any}
hardware:
  chips: [%s]
`, attesttest.Measurement(), strings.Join(chips, ", "))))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// The whole way: evidence in the vendor's format, verified and appraised. A
// case for appraisal must pass verification and be refused here; one that
// nobody has a reason to refuse must be trusted.
func TestEvidenceOfTheFakeVendor(t *testing.T) {
	amd, at := attesttest.New(), attesttest.Epoch()
	statement, channel := session(t, at)
	trust := everyMachine(t)
	bound := bind(t, statement).Bytes()
	for _, opts := range []struct {
		name string
		line attesttest.Line
		opts []attesttest.Option
		want attest.Code
	}{
		{"healthy", attesttest.Genoa, nil, ""},
		{"Turin", attesttest.Turin, []attesttest.Option{attesttest.On(attesttest.Turin, 5)}, ""},
		{"version 3", attesttest.Genoa, []attesttest.Option{attesttest.On(attesttest.Genoa, 3)}, ""},
		{"S01", attesttest.Genoa, []attesttest.Option{attesttest.Debug()}, appraise.CodeDebug},
		{"S02", attesttest.Genoa, []attesttest.Option{attesttest.Migratable()}, appraise.CodeMigration},
		{"S05", attesttest.Genoa, []attesttest.Option{attesttest.PolicyBits(attesttest.PolicyCXLAllow)}, appraise.CodeGuestPolicy},
		{"S06", attesttest.Genoa, []attesttest.Option{attesttest.VMPL(1)}, appraise.CodeVMPL},
		{"S06 host", attesttest.Genoa, []attesttest.Option{attesttest.VMPL(0xffffffff)}, appraise.CodeVMPL},
		{"S10", attesttest.Milan, []attesttest.Option{attesttest.On(attesttest.Milan, 5)}, appraise.CodeProduct},
		{"S12", attesttest.Genoa, []attesttest.Option{attesttest.VLEK("CN=cloud")}, appraise.CodeSigner},
		{"S16", attesttest.Genoa, []attesttest.Option{attesttest.WithChip([]byte("another chip"))}, appraise.CodeChip},
		{"S19", attesttest.Genoa, []attesttest.Option{attesttest.EditReport(func(r *attesttest.Report) { r.CommittedTCB.Microcode -= 40 })}, appraise.CodeProvisional},
		{"S20", attesttest.Genoa, []attesttest.Option{attesttest.EditReport(func(r *attesttest.Report) { r.LaunchTCB.SNP--; r.LaunchTCB.SNP-- })}, appraise.CodeLaunchTCB},
		{"S23", attesttest.Genoa, []attesttest.Option{attesttest.WithMeasurement([48]byte{1})}, appraise.CodeMeasurement},
		{"S24", attesttest.Genoa, []attesttest.Option{attesttest.HostData([32]byte{1})}, appraise.CodeLaunchPolicy},
		{"S28", attesttest.Genoa, []attesttest.Option{attesttest.NoPlatformBits(attesttest.PlatformAliasCheck)}, appraise.CodePlatform},
		{"G19", attesttest.Genoa, []attesttest.Option{attesttest.NoCRL()}, attest.CodeNoCRL},
	} {
		t.Run(opts.name, func(t *testing.T) {
			roots := amd.Roots(t, opts.line)
			line := map[attesttest.Line]snp.Product{attesttest.Milan: snp.Milan, attesttest.Genoa: snp.Genoa, attesttest.Turin: snp.Turin}[opts.line]
			verifier, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: line, ARK: roots.ARK.Raw, ASK: roots.ASK.Raw, ASVK: roots.ASVK.Raw})
			if err != nil {
				t.Fatal(err)
			}
			// The policy's digest goes first: On replaces the whole report.
			all := append(append([]attesttest.Option(nil), opts.opts...), keepHostData(sha256.Sum256([]byte(document))))
			ev, end := amd.Make(t, bound, all...)
			in := appraise.Input{Statement: statement, Channel: channel, Policy: []byte(document)}
			if in.Claims, in.Err = verifier.Verify(ev, end, at); in.Err != nil {
				t.Fatalf("not verified: %v", in.Err)
			}
			r := trust.Appraise(in, at)
			if opts.want == "" {
				if !r.Trusted() {
					t.Errorf("refused: %v", r.Err())
				}
				return
			}
			if codes := fmt.Sprint(r.Codes()); r.Trusted() || !strings.Contains(codes, string(opts.want)) {
				t.Errorf("verdict %s with %s, want %s", r.Verdict(), codes, opts.want)
			}
		})
	}
}

// keepHostData binds a policy at launch unless a case bound something else.
func keepHostData(digest [32]byte) attesttest.Option {
	return attesttest.EditReport(func(r *attesttest.Report) {
		if r.HostData == [32]byte{} {
			r.HostData = digest
		}
	})
}

// Trust on first use of a simulated box: what comes out accepts that box, says
// what it is worth, and accepts no other.
func TestFirstUse(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	root, err := sim.NewRoot(rand.Reader, at)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := sim.NewVerifier(root.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	statement, channel := session(t, at)
	present := func(box sim.Box) appraise.Input {
		attester, err := root.NewAttester(box, func() time.Time { return at })
		if err != nil {
			t.Fatal(err)
		}
		ev, end, err := attester.Attest(context.Background(), bind(t, statement))
		if err != nil {
			t.Fatal(err)
		}
		in := appraise.Input{Statement: statement, Channel: channel, Policy: []byte(document)}
		in.Claims, in.Err = verifier.Verify(ev, end, at)
		return in
	}
	policyDigest := sha256.Sum256([]byte(document))
	box := sim.Box{Measurement: sim.Measure([]byte("code")), HostData: policyDigest}
	for name, box := range map[string]sim.Box{
		"healthy": box,
		"old":     {Measurement: box.Measurement, HostData: policyDigest, OldTCB: true, GuestSVN: 3},
		"low":     {Measurement: box.Measurement, HostData: policyDigest, VMPL: 2},
	} {
		in := present(box)
		trust := appraise.FromClaims(in.Claims, in.Statement, in.Policy, "first", at)
		if r := trust.Appraise(in, at); r.Trusted() && !r.Simulated() {
			t.Errorf("%s: simulated evidence passes for hardware", name)
		}
		if _, err := appraise.ParseTrust(trust.Marshal()); err == nil {
			t.Errorf("%s: a trust file for a simulated box without its root can be read", name)
		}
		file := trust.WithSimulatedRoot(root.Fingerprint()).Marshal()
		if !strings.HasPrefix(string(file), "# Trust on first use") {
			t.Errorf("%s: the file does not say what it is:\n%s", name, file)
		}
		if loosened := strings.Contains(string(file), "# LOOSENED"); loosened != (name != "healthy") || loosened != (len(trust.Loosened()) == 1) {
			t.Errorf("%s: loosened %v %q:\n%s", name, loosened, trust.Loosened(), file)
		}
		read, err := appraise.ParseTrust(file)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, file)
		}
		if r := read.Appraise(in, at); !r.Trusted() || !r.Simulated() || r.Code() != "first" {
			t.Errorf("%s: %v\n%s", name, r.Err(), file)
		}
		box.Measurement[0] ^= 1
		if r := read.Appraise(present(box), at); r.Trusted() {
			t.Errorf("%s: other code accepted", name)
		}
	}
}

// A reference without a name still pins its policy: the same code that was
// launched with another one is refused.
func TestFirstUseWithoutNamePinsThePolicy(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	root, err := sim.NewRoot(rand.Reader, at)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := sim.NewVerifier(root.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	present := func(document string) appraise.Input {
		statement, channel := session(t, at)
		statement.Policy = sha256.Sum256([]byte(document))
		attester, err := root.NewAttester(sim.Box{Measurement: sim.Measure([]byte("code")), HostData: statement.Policy}, func() time.Time { return at })
		if err != nil {
			t.Fatal(err)
		}
		ev, end, err := attester.Attest(t.Context(), bind(t, statement))
		if err != nil {
			t.Fatal(err)
		}
		in := appraise.Input{Statement: statement, Channel: channel, Policy: []byte(document)}
		in.Claims, in.Err = verifier.Verify(ev, end, at)
		return in
	}
	first := present(document)
	trust := appraise.FromClaims(first.Claims, first.Statement, first.Policy, "", at).WithSimulatedRoot(root.Fingerprint())
	if r := trust.Appraise(first, at); !r.Trusted() || r.Code() == "" {
		t.Errorf("the box itself: %v, reference %q", r.Err(), r.Code())
	}
	if _, err := appraise.ParseTrust(trust.Marshal()); err != nil {
		t.Errorf("%v\n%s", err, trust.Marshal())
	}
	if blank := appraise.FromClaims(first.Claims, attest.Statement{}, nil, "", at); len(blank.Loosened()) != 1 {
		t.Errorf("any policy is accepted, and the file says of it only %q", blank.Loosened())
	}
	other := present(document + "# another\n")
	if r := trust.Appraise(other, at); r.Trusted() || !slices.Contains(r.Codes(), attest.CodePolicyMismatch) {
		t.Errorf("another policy: %s %v", r.Verdict(), r.Codes())
	}
}
