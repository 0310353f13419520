package dcaptest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/dcap"
	"github.com/blindbox/blindbox/attest/pcs"
)

// Capture is a quote of a real machine with what Intel said about its platform.
// Its files are in vectors/sgx and vectors/tdx, where ORIGIN.md says whose it is.
type Capture struct {
	Name  string // of the golden file
	Quote string
	// Collateral is one file with everything, in the form of dcap-qvl. Info and
	// Identity are files of Intel's service; beside Collateral, Info replaces its own.
	Collateral, Info, Identity string
	CRLs                       bool // of the service, of that time
	Log                        string
	At                         time.Time
	Status                     dcap.Status // 0: refused
}

// File returns one of the files of a kind.
func File(t testing.TB, kind attest.Kind, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "vectors", kind.String(), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Capture returns the one of that name, which must be there.
func (k Kind[V, C]) Capture(t testing.TB, name string) Capture {
	t.Helper()
	for _, c := range k.Captures {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no capture %q", name)
	return Capture{}
}

// Evidence returns the capture's quote.
func (k Kind[V, C]) Evidence(t testing.TB, c Capture) attest.Evidence {
	t.Helper()
	return attest.Evidence{Kind: k.Kind, Data: File(t, k.Kind, c.Quote)}
}

// Endorsements returns what stood beside the quote.
func (k Kind[V, C]) Endorsements(t testing.TB, c Capture) attest.Endorsements {
	t.Helper()
	var end attest.Endorsements
	add := func(label string, kind attest.Kind, name string) {
		end = append(end, attest.Endorsement{Label: label, Data: File(t, kind, name)})
	}
	switch {
	case c.Collateral != "":
		all, err := pcs.FromCollateralJSON(File(t, k.Kind, c.Collateral))
		if err != nil || all[0].Label != attest.LabelIntelTCBInfo {
			t.Fatalf("%s: %v", c.Collateral, err)
		}
		if end = all; c.Info != "" {
			end[0].Data = File(t, k.Kind, c.Info)
		}
	case c.Info != "":
		add(attest.LabelIntelTCBInfo, k.Kind, c.Info)
		add(attest.LabelIntelQEIdentity, k.Kind, c.Identity)
		add(attest.LabelIntelTCBChain, attest.SGX, "tcb_info_v3_fmspc_00606A000000_certs.pem")
	}
	if c.CRLs {
		add(attest.LabelIntelRootCRL, k.Kind, "rootcrl.der")
		add(attest.LabelIntelPCKCRL, k.Kind, "pckcrl")
	}
	if c.Log != "" {
		// The area is up to 1 MiB, of which all but the first pages are padding.
		log := File(t, k.Kind, c.Log)
		end = append(end, attest.Endorsement{Label: attest.LabelEventLog, Data: log[:min(len(log), 64<<10)]})
	}
	return end
}

// TestRealMachines: each capture gives the verdict that its origin states, and
// the whole list of checks is a golden file, which update writes.
func (k Kind[V, C]) TestRealMachines(t *testing.T, update bool) {
	v := k.Intel(t)
	for _, c := range k.Captures {
		t.Run(c.Name, func(t *testing.T) {
			claims, err := v.Verify(k.Evidence(t, c), k.Endorsements(t, c), c.At)
			if err != nil {
				if c.Status != 0 {
					t.Error(err)
				}
				golden(t, c.Name, Failure(t, err).Checks, update)
				return
			}
			if status := k.Detail(claims).TCB.Status; status != c.Status || !claims.Endorsed.Contains(c.At) {
				t.Errorf("status %s, want %s; endorsed %v", status, c.Status, claims.Endorsed)
			}
			golden(t, c.Name, claims.Checks, update)
		})
	}
}

func golden(t *testing.T, name string, checks []attest.Check, update bool) {
	t.Helper()
	var text strings.Builder
	for _, c := range checks {
		text.WriteString(c.String() + "\n")
	}
	file := filepath.Join("testdata", name+".golden")
	if update {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}
