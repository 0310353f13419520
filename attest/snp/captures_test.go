package snp_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
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
