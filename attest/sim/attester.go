package sim

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
)

// Box is what a simulated box claims to be. The zero value of a field that
// names a fault is a healthy machine.
type Box struct {
	// Measurement stands for the code that was launched; see [Measure].
	Measurement [48]byte
	// HostData is bound at launch: the digest of the box's policy.
	HostData [32]byte
	// GuestSVN is the guest's security version.
	GuestSVN uint32

	// Debug says that the host may read the guest's memory.
	Debug bool
	// OldTCB says that the firmware is years old.
	OldTCB bool
	// VMPL is the privilege level the report is asked for from, 0 to 3.
	VMPL uint32
	// MigrationAgent says that another guest may export this one.
	MigrationAgent bool
	// Expired says that the chip's certificate is no longer valid.
	Expired bool
	// Revoked says that the vendor withdrew the intermediate.
	Revoked bool
	// StaleCRL says that the last CRL was to be replaced long ago.
	StaleCRL bool
	// NoCRL leaves the CRL out, VendorDown everything that a vendor's server
	// gives: the chip's certificate and the CRL.
	NoCRL, VendorDown bool
	// BadSignature changes the report after it was signed.
	BadSignature bool
	// OtherData asks for a report over other bytes than were bound.
	OtherData bool
}

const (
	policyMigrateMA = 1 << 18 // GUEST_POLICY.MIGRATE_MA, AMD 56860
	policyDebug     = 1 << 19 // GUEST_POLICY.DEBUG
	// A simulated chip's certificate is valid for a year, so that a box that
	// runs for long keeps working, and its CRL for a month; a new one is signed
	// after a day.
	vcekYears = 1
	crlDays   = 30
	crlFresh  = 24 * time.Hour
)

// Attester signs reports of a simulated Genoa machine, version 5, with a chip
// key of its own. It is safe for concurrent use.
type Attester struct {
	root   *Root
	box    Box
	report amdforge.Report
	vcek   *amdforge.VEK
	now    func() time.Time

	mu      sync.Mutex
	crl     []byte
	crlFrom time.Time
}

// NewAttester returns a simulated box on the root's one chip.
func (r *Root) NewAttester(b Box, now func() time.Time) (*Attester, error) {
	if now == nil {
		return nil, errors.New("sim: no clock given")
	}
	if b.Measurement == [48]byte{} || b.HostData == [32]byte{} {
		return nil, errors.New("sim: a box needs a measurement and the digest of its policy as host data")
	}
	a := &Attester{root: r, box: b, now: now, report: *amdforge.NewReport(amdforge.Genoa, 5)}
	b.apply(&a.report)
	a.report.ChipID = r.chipID()
	if _, err := rand.Read(a.report.ReportID[:]); err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	from, until := now().Add(-slack), now().AddDate(vcekYears, 0, 0)
	if b.Expired {
		from, until = from.AddDate(-vcekYears, 0, 0), from
	}
	var err error
	a.vcek, err = r.chain.VEK(amdforge.VEKOptions{
		Line: amdforge.Genoa, TCB: a.report.ReportedTCB, HWID: a.report.ChipID[:],
		NotBefore: from, NotAfter: until,
		Organization: organization, OrganizationalUnit: unit,
	})
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	return a, nil
}

func (b Box) apply(r *amdforge.Report) {
	r.Measurement, r.HostData, r.GuestSVN, r.VMPL = b.Measurement, b.HostData, b.GuestSVN, b.VMPL
	if b.Debug {
		r.Policy |= policyDebug
	}
	if b.MigrationAgent {
		r.Policy |= policyMigrateMA
		r.ReportIDMA = [32]byte{1}
	}
	if b.OldTCB {
		old := amdforge.TCB{Bootloader: 3, SNP: 8, Microcode: 40}
		r.CurrentTCB, r.ReportedTCB, r.CommittedTCB, r.LaunchTCB = old, old, old, old
	}
}

// Kind returns SimSNP.
func (a *Attester) Kind() attest.Kind { return attest.SimSNP }

// Attest returns a simulated report over b with everything a Verifier needs:
// the chip's certificate, the intermediate, the root (which counts only if it
// was pinned) and the root's CRL.
func (a *Attester) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if b.IsZero() {
		return attest.Evidence{}, nil, errors.New("sim: nothing to sign: the bound is zero")
	}
	if err := ctx.Err(); err != nil {
		return attest.Evidence{}, nil, fmt.Errorf("sim: evidence %w: %w", attest.ErrUnavailable, err)
	}
	crl, err := a.revocations()
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	r := a.report
	r.ReportData = b.Bytes()
	if a.box.OtherData {
		r.ReportData[0] ^= 1
	}
	data := r.Encode()
	if err := amdforge.Sign(data, a.vcek.Key); err != nil {
		return attest.Evidence{}, nil, fmt.Errorf("sim: %w", err)
	}
	if a.box.BadSignature {
		data[signedReportID] ^= 1
	}
	return attest.Evidence{Kind: attest.SimSNP, Data: data}, a.endorsements(crl), nil
}

// signedReportID is REPORT_ID, a part of the report that nothing but the
// signature protects (AMD 56860, ATTESTATION_REPORT).
const signedReportID = 0x140

func (a *Attester) endorsements(crl []byte) attest.Endorsements {
	end := attest.Endorsements{
		{Label: attest.LabelSimASK, Data: bytes.Clone(a.root.chain.ASK.DER())},
		{Label: attest.LabelSimRoot, Data: a.root.Certificate()},
	}
	if !a.box.VendorDown {
		end = append(end, attest.Endorsement{Label: attest.LabelSNPVEK, Data: bytes.Clone(a.vcek.DER)})
	}
	if !a.box.VendorDown && !a.box.NoCRL {
		end = append(end, attest.Endorsement{Label: attest.LabelSNPARKCRL, Data: bytes.Clone(crl)})
	}
	return end
}

// revocations returns the root's CRL, which lists nothing, and signs a new one
// when the last is a day old or the clock went back.
func (a *Attester) revocations() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.now()
	if age := at.Sub(a.crlFrom); a.crl != nil && age >= 0 && age < crlFresh {
		return a.crl, nil
	}
	crl, err := a.root.chain.ARK.CRL(a.box.crl(at, a.root.chain))
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	a.crl, a.crlFrom = crl, at
	return crl, nil
}

// crl says what the root's CRL holds.
func (b Box) crl(at time.Time, chain *amdforge.Chain) amdforge.CRLOptions {
	o := amdforge.CRLOptions{ThisUpdate: at.Add(-slack), NextUpdate: at.AddDate(0, 0, crlDays)}
	if b.StaleCRL {
		o.ThisUpdate, o.NextUpdate = at.AddDate(-1, 0, 0), at.AddDate(-1, 0, crlDays)
	}
	if b.Revoked {
		o.Revoked = []*big.Int{chain.ASK.Cert.SerialNumber}
	}
	return o
}
