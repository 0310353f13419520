package tdx_test

import (
	"crypto/x509"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/dcaptest"
	"github.com/blindbox/blindbox/attest/tdx"
)

// The mutants here are signed by the vendor: machines in states that a capture
// with a flipped bit can never show, because its signature fails first.

// state changes one thing about a machine, by a number that chance gives.
type state struct {
	name string
	opt  func(r *rand.Rand) attesttest.IntelOption
}

func states() []state {
	statuses := []string{"UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"}
	info := func(f func(*rand.Rand, *attesttest.IntelTCBInfo)) func(*rand.Rand) attesttest.IntelOption {
		return func(r *rand.Rand) attesttest.IntelOption {
			n := r.Uint64()
			return attesttest.EditInfo(func(d *attesttest.IntelTCBInfo) { f(rand.New(rand.NewPCG(n, 0)), d) })
		}
	}
	identity := func(f func(*rand.Rand, *attesttest.IntelIdentity)) func(*rand.Rand) attesttest.IntelOption {
		return func(r *rand.Rand) attesttest.IntelOption {
			n := r.Uint64()
			return attesttest.EditIdentity(func(d *attesttest.IntelIdentity) { f(rand.New(rand.NewPCG(n, 0)), d) })
		}
	}
	td := func(f func(*rand.Rand, *attesttest.IntelTD)) func(*rand.Rand) attesttest.IntelOption {
		return func(r *rand.Rand) attesttest.IntelOption {
			return attesttest.EditTD(func(t *attesttest.IntelTD) { f(r, t) })
		}
	}
	qe := func(f func(*rand.Rand, *attesttest.IntelEnclave)) func(*rand.Rand) attesttest.IntelOption {
		return func(r *rand.Rand) attesttest.IntelOption {
			return attesttest.EditQE(func(e *attesttest.IntelEnclave) { f(r, e) })
		}
	}
	return []state{
		{"platform status", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) { d.Levels[0].Status = statuses[r.IntN(len(statuses))] })},
		{"module status", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) {
			d.TDXModuleIdentities[1].Levels[0].Status = statuses[r.IntN(len(statuses))]
		})},
		{"QE status", identity(func(r *rand.Rand, d *attesttest.IntelIdentity) { d.Levels[0].Status = statuses[r.IntN(len(statuses))] })},
		{"component of a level", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) {
			d.Levels[r.IntN(len(d.Levels))].TCB.SGX[r.IntN(16)].SVN = r.IntN(9)
		})},
		{"TDX component of a level", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) {
			d.Levels[r.IntN(len(d.Levels))].TCB.TDX[r.IntN(16)].SVN = r.IntN(9)
		})},
		{"PCE SVN of a level", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) {
			d.Levels[r.IntN(len(d.Levels))].TCB.PCESVN = r.IntN(14)
		})},
		{"module SVN", td(func(r *rand.Rand, t *attesttest.IntelTD) { t.TCBSVN[0] = byte(r.IntN(7)) })},
		{"module version", td(func(r *rand.Rand, t *attesttest.IntelTD) { t.TCBSVN[1] = byte(r.IntN(5)) })},
		{"module signer", td(func(r *rand.Rand, t *attesttest.IntelTD) { t.MRSIGNERSEAM[r.IntN(48)] = byte(r.IntN(2)) })},
		{"module attributes", td(func(r *rand.Rand, t *attesttest.IntelTD) { t.SEAMAttributes = 1 << r.IntN(64) })},
		{"microcode", td(func(r *rand.Rand, t *attesttest.IntelTD) { t.TCBSVN[2] = byte(r.IntN(9)) })},
		{"QE signer", qe(func(r *rand.Rand, e *attesttest.IntelEnclave) { e.MRSIGNER[r.IntN(32)] ^= byte(r.IntN(2)) })},
		{"QE product", qe(func(r *rand.Rand, e *attesttest.IntelEnclave) { e.ISVProdID = uint16(r.IntN(4)) })},
		{"QE SVN", qe(func(r *rand.Rand, e *attesttest.IntelEnclave) { e.ISVSVN = uint16(r.IntN(7)) })},
		{"QE attributes", qe(func(r *rand.Rand, e *attesttest.IntelEnclave) { e.Attributes ^= 1 << r.IntN(64) })},
		{"QE misc", qe(func(r *rand.Rand, e *attesttest.IntelEnclave) { e.MiscSelect = uint32(r.IntN(2)) })},
		{"dates of TCB info", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) {
			days := []string{"2026-06-01T00:00:00Z", "2026-06-14T00:00:00Z", "2026-06-16T00:00:00Z", "2026-07-16T00:00:00Z"}
			d.IssueDate, d.NextUpdate = days[r.IntN(4)], days[r.IntN(4)]
		})},
		{"TCB info id", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) { d.ID = []string{"TDX", "SGX", "tdx"}[r.IntN(3)] })},
		{"TCB info version", info(func(r *rand.Rand, d *attesttest.IntelTCBInfo) { d.Version = 2 + r.IntN(3) })},
		{"identity id", identity(func(r *rand.Rand, d *attesttest.IntelIdentity) { d.ID = []string{"TD_QE", "QE", "QVE"}[r.IntN(3)] })},
		{"PCE id", func(r *rand.Rand) attesttest.IntelOption {
			return attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.PCEID = []byte{0, byte(r.IntN(2))} })
		}},
		{"component of the PCK", func(r *rand.Rand) attesttest.IntelOption {
			return attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.Components[r.IntN(16)] = byte(r.IntN(9)) })
		}},
		{"FMSPC", func(r *rand.Rand) attesttest.IntelOption {
			return attesttest.EditPCK(func(p *attesttest.IntelPCK) { p.FMSPC = []byte{0xc0, 0x80, 0x6f, 0, 0, byte(r.IntN(2))} })
		}},
		{"CRL dates", func(r *rand.Rand) attesttest.IntelOption {
			return attesttest.EditPCKCRL(func(c *attesttest.IntelCRL) {
				c.ThisUpdate, c.NextUpdate = attesttest.Epoch().AddDate(0, 0, r.IntN(6)-4), attesttest.Epoch().AddDate(0, 0, r.IntN(6)-1)
			})
		}},
		{"root CRL dates", func(r *rand.Rand) attesttest.IntelOption {
			return attesttest.EditRootCRL(func(c *attesttest.IntelCRL) {
				c.ThisUpdate, c.NextUpdate = attesttest.Epoch().AddDate(0, 0, r.IntN(6)-4), attesttest.Epoch().AddDate(0, 0, r.IntN(6)-1)
			})
		}},
		{"processor CA", func(*rand.Rand) attesttest.IntelOption { return attesttest.ByProcessorCA() }},
		{"quote version", func(r *rand.Rand) attesttest.IntelOption {
			v := uint16(3 + r.IntN(3))
			return attesttest.EditQuote(func(q *attesttest.IntelQuote) { q.Header.Version = v })
		}},
		{"trailing", func(r *rand.Rand) attesttest.IntelOption {
			b := byte(r.IntN(2))
			return attesttest.EditQuoteBytes(func(q []byte) []byte { return append(q, b) })
		}},
	}
}

// TestForgedAgainstPeer: the same rule for machines whose vendor signed every
// odd thing about them.
func TestForgedAgainstPeer(t *testing.T) {
	intel := attesttest.NewIntel()
	v, roots := quotes().Forged(t, intel.Root(t)), x509.NewCertPool()
	root, err := x509.ParseCertificate(intel.Root(t))
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(root)
	all, r := states(), rand.New(rand.NewPCG(3, 4))
	counts, table := map[string]int{}, map[string]int{}
	for i := range *mutants {
		opts := []attesttest.IntelOption{attesttest.EditInfo(func(d *attesttest.IntelTCBInfo) { d.FMSPC = "c0806f000000" })}
		names := ""
		for range min(i, 1+r.IntN(3)) {
			s := all[r.IntN(len(all))]
			opts, names = append(opts, s.opt(r)), names+s.name+"; "
		}
		ev, end := intel.Make(t, attest.TDX, [64]byte{1}, opts...)
		theirs := peerForged(t, ev, end, roots)
		claims, err := v.Verify(ev, end, attesttest.Epoch())
		switch {
		case i == 0 && (theirs != nil || err != nil):
			t.Fatalf("a healthy machine: peer %v, ours %v", theirs, err)
		case theirs != nil && err == nil:
			why := listedForged(theirs, claims)
			if why == "" {
				t.Errorf("%sours accepts, peer: %v", names, theirs)
			}
			counts["ours accepts, peer refuses: "+why]++
		case theirs == nil && err != nil:
			f := dcaptest.Failure(t, err).Failed()[0]
			table[fmt.Sprintf("`%s` `%s`", f.Name, f.Code)]++
			counts["peer accepts, ours refuses"]++
		case err == nil:
			counts["both accept, "+statusOf(claims)]++
		default:
			counts["both refuse"]++
		}
	}
	for _, m := range []map[string]int{counts, table} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			t.Logf("%6d %s", m[k], k)
		}
	}
	attesttest.Explained(t, "go-tdx-guest", slices.Sorted(maps.Keys(table)))
}

func statusOf(c *attest.Claims) string {
	return "ours claims " + c.Detail.(*tdx.Claims).TCB.Status.String()
}

// listedForged adds to the listed reasons those that only a vendor can cause.
func listedForged(err error, c *attest.Claims) string {
	if why := listedReason(err); why != "" {
		return why
	}
	for _, reason := range []string{
		"quote format not supported",                                    // version 5
		"\"Intel SGX PCK Processor CA\" is not expected in certificate", // Intel certifies single-socket machines so
	} {
		if strings.Contains(err.Error(), reason) {
			return reason
		}
	}
	if c.Detail.(*tdx.Claims).TCB.Status != tdx.UpToDate && strings.Contains(err.Error(), "TCB") {
		return "a status that ours claims: " + statusOf(c)
	}
	return ""
}

func peerForged(t testing.TB, ev attest.Evidence, end attest.Endorsements, roots *x509.CertPool) (err error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	return peerVerify(newPeerGetter(t, ev, end), roots, attesttest.Epoch(), ev.Data)
}
