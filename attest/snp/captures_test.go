package snp_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/snp"
)

// machine is a capture of a real processor; vectors/snp/ORIGIN.md says whose.
type machine struct {
	name    string
	at      time.Time
	product snp.Product
	version uint32
	signer  snp.Signer
	tcb     snp.TCB
	policy  string
	info    string
	vmpl    uint32
	csp     string
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 12, 0, 0, 0, time.UTC) }

var machines = []machine{
	{name: "milan-v2-trustee", at: day(2023, 6, 1), product: snp.Milan, version: 2, tcb: snp.TCB{Bootloader: 3, SNP: 8, Microcode: 115},
		policy: "0x3001f (abi>=0.31 smt)", info: "0x1 (smt)"},
	{name: "milan-v3-azure-trustee", at: day(2025, 6, 15), product: snp.Milan, version: 3, tcb: snp.TCB{Bootloader: 4, SNP: 24, Microcode: 219},
		policy: "0x3001f (abi>=0.31 smt)", info: "0x25 (smt ecc alias_check_complete)"},
	{name: "milan-v3-gce-oak", at: day(2025, 6, 15), product: snp.Milan, version: 3, tcb: snp.TCB{Bootloader: 4, SNP: 24, Microcode: 219},
		policy: "0x30000 (abi>=0.0 smt)", info: "0x25 (smt ecc alias_check_complete)"},
	{name: "milan-v3-vlek-trustee", at: day(2025, 3, 15), product: snp.Milan, version: 3, signer: snp.SignerVLEK, tcb: snp.TCB{Bootloader: 4, SNP: 24, Microcode: 217},
		policy: "0x30000 (abi>=0.0 smt)", info: "0x27 (smt tsme ecc alias_check_complete)", vmpl: 1, csp: "CN=cc-us-east-2.amazonaws.com"},
	{name: "genoa-v3-azure-trustee", at: day(2025, 7, 15), product: snp.Genoa, version: 3, tcb: snp.TCB{Bootloader: 10, SNP: 23, Microcode: 84},
		policy: "0x3001f (abi>=0.31 smt)", info: "0x24 (ecc alias_check_complete)"},
	{name: "genoa-v5-oak", at: day(2025, 9, 15), product: snp.Genoa, version: 5, tcb: snp.TCB{Bootloader: 10, SNP: 25, Microcode: 84},
		policy: "0x30000 (abi>=0.0 smt)", info: "0x25 (smt ecc alias_check_complete)"},
	{name: "turin-v5-oak", at: day(2025, 9, 15), product: snp.Turin, version: 5, tcb: snp.TCB{Bootloader: 1, SNP: 2, Microcode: 71},
		policy: "0x30000 (abi>=0.0 smt)", info: "0x67 (smt tsme ecc alias_check_complete iommu_write_safe)"},
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "vectors", "snp", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (m machine) evidence(t testing.TB) attest.Evidence {
	return attest.Evidence{Kind: attest.SNP, Data: vector(t, m.name+".report.bin")}
}

func (m machine) endorsements(t testing.TB) attest.Endorsements {
	return attest.Endorsements{{Label: attest.LabelSNPVEK, Data: vector(t, m.name+".vek.der")}}
}

func amdVerifier(t testing.TB) *snp.Verifier {
	t.Helper()
	v, err := snp.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// failure returns the refusal in err, which must be one.
func failure(t testing.TB, err error) *attest.Failure {
	t.Helper()
	var f *attest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %v, want an *attest.Failure", err)
	}
	return f
}

func TestRealMachinesVerify(t *testing.T) {
	v := amdVerifier(t)
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			claims, err := v.Verify(m.evidence(t), m.endorsements(t), m.at)
			if err != nil {
				t.Fatal(err)
			}
			d := claims.Detail.(*snp.Claims)
			if d.Product != m.product || d.Report.Version != m.version || d.Signer != m.signer || d.CertTCB != m.tcb || d.Report.ReportedTCB != m.tcb {
				t.Errorf("got %s v%d %s %s", d.Product, d.Report.Version, d.Signer, d.CertTCB)
			}
			if got := d.Report.Policy.String(); got != m.policy {
				t.Errorf("policy %s, want %s", got, m.policy)
			}
			if got := d.Report.PlatformInfo.String(); got != m.info {
				t.Errorf("platform info %s, want %s", got, m.info)
			}
			if d.Report.VMPL != m.vmpl || d.CSP != m.csp || claims.Simulated || claims.Kind != attest.SNP {
				t.Errorf("vmpl %d, csp %q, simulated %t, kind %s", d.Report.VMPL, d.CSP, claims.Simulated, claims.Kind)
			}
			if d.ARKCRL.Checked || d.ASKCRL.Checked {
				t.Error("revocation was checked without a CRL")
			}
			if !claims.Endorsed.Contains(m.at) {
				t.Errorf("endorsed %v does not contain the pin time", claims.Endorsed)
			}
		})
	}
}

// TestRealMachinesSwapped gives each report every other machine's certificate.
func TestRealMachinesSwapped(t *testing.T) {
	v := amdVerifier(t)
	for _, m := range machines {
		for _, other := range machines {
			if m.name == other.name {
				continue
			}
			_, err := v.Verify(m.evidence(t), other.endorsements(t), other.at)
			want := []attest.Code{attest.CodeBadSignature}
			if m.product != other.product {
				want = append(want, snp.CodeProductMismatch)
			}
			if m.signer != other.signer {
				want = append(want, snp.CodeSignerMismatch)
			}
			if m.tcb != other.tcb {
				want = append(want, snp.CodeTCBCertMismatch)
			}
			if m.signer == snp.SignerVCEK && other.signer == snp.SignerVCEK {
				want = append(want, snp.CodeChipMismatch)
			}
			for _, code := range want {
				// A report of version 2 names no product and cannot contradict one,
				// but its layout cannot be Turin's.
				if m.version == 2 && code == snp.CodeProductMismatch {
					if other.product != snp.Turin {
						continue
					}
					code = snp.CodeUnsupported
				}
				failedWith(t, err, code)
			}
		}
	}
}

// TestRealMachinesAltered changes one thing about each machine.
func TestRealMachinesAltered(t *testing.T) {
	v := amdVerifier(t)
	flip := func(at int, mask byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= mask; return b }
	}
	for _, c := range []struct {
		name   string
		report func([]byte) []byte
		vek    func([]byte) []byte
		at     func(machine) time.Time
		code   attest.Code
	}{
		{name: "report data", report: flip(0x50, 1), code: attest.CodeBadSignature},
		{name: "measurement", report: flip(0x90, 1), code: attest.CodeBadSignature},
		{name: "host data", report: flip(0xc0, 1), code: attest.CodeBadSignature},
		{name: "debug bit", report: flip(0x0a, 1<<3), code: attest.CodeBadSignature},
		{name: "signature", report: flip(0x2a0, 1), code: attest.CodeBadSignature},
		{name: "reported TCB", report: flip(0x187, 1), code: snp.CodeTCBCertMismatch},
		{name: "version 4", report: func(b []byte) []byte { b[0] = 4; return b }, code: snp.CodeUnsupported},
		{name: "certificate's last byte", vek: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, code: attest.CodeUntrustedRoot},
		{name: "certificate cut", vek: func(b []byte) []byte { return b[:len(b)-1] }, code: attest.CodeMalformed},
		{name: "before the certificate", at: func(machine) time.Time { return day(2019, 1, 1) }, code: attest.CodeExpired},
		{name: "after the certificate", at: func(machine) time.Time { return day(2033, 1, 1) }, code: attest.CodeExpired},
		{name: "after the root", at: func(machine) time.Time { return day(2050, 1, 1) }, code: attest.CodeExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range machines {
				ev, end, at := m.evidence(t), m.endorsements(t), m.at
				if c.report != nil {
					ev.Data = c.report(ev.Data)
				}
				if c.vek != nil {
					end[0].Data = c.vek(end[0].Data)
				}
				if c.at != nil {
					at = c.at(m)
				}
				_, err := v.Verify(ev, end, at)
				failedWith(t, err, c.code)
			}
		})
	}
}

// TestOtherVendorsRoots holds that a fake AMD is not trusted, and that AMD is
// not trusted by those who trust a fake one.
func TestOtherVendorsRoots(t *testing.T) {
	amd := attesttest.New()
	ev, end := amd.Make(t, [64]byte{1})
	_, err := amdVerifier(t).Verify(ev, end, attesttest.Epoch())
	failedWith(t, err, attest.CodeUntrustedRoot)
	forged := forgedVerifier(t, amd, attest.SNP)
	for _, m := range machines {
		_, err := forged.Verify(m.evidence(t), m.endorsements(t), m.at)
		failedWith(t, err, attest.CodeUntrustedRoot)
	}
}

// TestAllFailuresTogether holds that one refusal names everything that is wrong.
func TestAllFailuresTogether(t *testing.T) {
	m := benchMachine()
	ev, end := m.evidence(t), m.endorsements(t)
	ev.Data[0x08] ^= 1                       // signature
	ev.Data[0x0b] |= 0x80                    // reserved policy bit
	ev.Data[0x34] = 1                        // algorithm stays
	ev.Data[0x187]++                         // reported TCB, above the current one
	ev.Data[0x48] |= 1 << 2                  // VLEK
	ev.Data[0x188], ev.Data[0x189] = 0x17, 0 // processor
	end = append(end, attest.Endorsement{Label: attest.LabelSNPARKCRL, Data: []byte("no CRL")})
	_, err := amdVerifier(t).Verify(ev, end, day(2040, 1, 1))
	for _, code := range []attest.Code{
		attest.CodeBadSignature, attest.CodeMalformed, snp.CodeTCBCertMismatch, snp.CodeInconsistent,
		snp.CodeSignerMismatch, snp.CodeUnknownProduct, snp.CodeProductMismatch, attest.CodeBadCRL, attest.CodeExpired,
	} {
		failedWith(t, err, code)
	}
}

// TestVectorsUnchanged compares the captures with their digests.
func TestVectorsUnchanged(t *testing.T) {
	lines := strings.Fields(string(vector(t, "SHA256SUMS")))
	if len(lines) != 2*15 {
		t.Fatalf("%d fields, want 15 digests and names", len(lines))
	}
	for i := 0; i < len(lines); i += 2 {
		if got := fmt.Sprintf("%x", sha256.Sum256(vector(t, lines[i+1]))); got != lines[i] {
			t.Errorf("%s: SHA-256 %s, want %s", lines[i+1], got, lines[i])
		}
	}
}
