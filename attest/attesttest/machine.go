package attesttest

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
)

// Machine is everything that decides what is sent. Options change it; the order
// of the fields is the order in which they take effect.
type Machine struct {
	AMD  *AMD
	Now  time.Time
	Kind attest.Kind
	// Report is what the firmware fills in; ReportData is set for each request.
	Report Report
	// Cert is the certificate of the key that signs. Unless they are set, its
	// line, TCB and hardware id are the Report's.
	Cert Cert
	// Issuer signs Cert; nil means the ASK, or the ASVK for a VLEK.
	Issuer *CA
	// Unsigned change the report's bytes before they are signed.
	Unsigned []func(report []byte)
	// Sign signs the report in place.
	Sign func(report []byte, key *ecdsa.PrivateKey) error
	// Signed change the report's bytes after they were signed.
	Signed []func(report []byte) []byte
	// ARKCRL and ASKCRL are stapled unless they are nil.
	ARKCRL, ASKCRL *CRL
	// Endorse change what is stapled.
	Endorse []func(attest.Endorsements) attest.Endorsements
}

// CRL is a revocation list and who issues it.
type CRL struct {
	amdforge.CRLOptions
	// Issuer is the CA in whose name the list is; nil means the right one.
	Issuer *CA
}

// Option changes a Machine.
type Option func(*Machine)

// machine returns a healthy Genoa machine with report version 5, changed by the
// options in their order.
func (a *AMD) machine(opts []Option) *Machine {
	m := &Machine{AMD: a, Kind: attest.SNP, Sign: amdforge.Sign}
	At(Epoch())(m)
	On(Genoa, 5)(m)
	for _, o := range opts {
		o(m)
	}
	return m
}

// vek makes the signing key and its certificate.
func (m *Machine) vek() (*amdforge.VEK, error) {
	cert := m.Cert
	if cert.Line == 0 {
		cert.Line = m.Report.Line
	}
	if cert.TCB == (TCB{}) {
		cert.TCB = m.Report.ReportedTCB
	}
	if cert.HWID == nil {
		cert.HWID = m.Report.ChipID[:cert.Line.HWIDSize()]
	}
	if m.Issuer != nil {
		return m.Issuer.IssueVEK(cert)
	}
	chain, err := m.AMD.chains[cert.Line]()
	if err != nil {
		return nil, err
	}
	return chain.VEK(cert)
}

// report makes and signs one report.
func (m *Machine) report(reportData [64]byte, key *ecdsa.PrivateKey) ([]byte, error) {
	r := m.Report
	r.ReportData = reportData
	data := r.Encode()
	for _, f := range m.Unsigned {
		f(data)
	}
	if err := m.Sign(data, key); err != nil {
		return nil, err
	}
	for _, f := range m.Signed {
		data = f(data)
	}
	return data, nil
}

// endorsements returns what is stapled.
func (m *Machine) endorsements(vek []byte) (attest.Endorsements, error) {
	out := attest.Endorsements{{Label: attest.LabelSNPVEK, Data: vek}}
	chain, err := m.AMD.chains[m.Report.Line]()
	if err != nil {
		return nil, err
	}
	below := chain.ASK
	if m.Cert.VLEK {
		below = chain.ASVK
	}
	for _, c := range []struct {
		label  string
		crl    *CRL
		issuer *CA
	}{{attest.LabelSNPARKCRL, m.ARKCRL, chain.ARK}, {attest.LabelSNPASKCRL, m.ASKCRL, below}} {
		if c.crl == nil {
			continue
		}
		if c.crl.Issuer != nil {
			c.issuer = c.crl.Issuer
		}
		der, err := c.issuer.CRL(c.crl.CRLOptions)
		if err != nil {
			return nil, err
		}
		out = append(out, attest.Endorsement{Label: c.label, Data: der})
	}
	for _, f := range m.Endorse {
		out = f(out)
	}
	return out, nil
}

// Make returns what a machine answers when its guest asks for reportData to be
// signed.
func (a *AMD) Make(t testing.TB, reportData [64]byte, opts ...Option) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	ev, end, err := a.Attester(opts...).attest(reportData)
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return ev, end
}

// Attester is a machine as the box sees it. It is safe for concurrent use.
type Attester struct {
	machine *Machine
	setup   func() (signer, error)
}

type signer struct {
	key *ecdsa.PrivateKey
	end attest.Endorsements
}

// Attester returns a machine. Unless [At] says otherwise it lives at [Epoch].
func (a *AMD) Attester(opts ...Option) *Attester {
	m := a.machine(opts)
	return &Attester{machine: m, setup: sync.OnceValues(func() (signer, error) {
		vek, err := m.vek()
		if err != nil {
			return signer{}, err
		}
		end, err := m.endorsements(vek.DER)
		if err != nil {
			return signer{}, err
		}
		return signer{vek.Key, end}, nil
	})}
}

// Kind returns SNP, or what [Kind] said.
func (t *Attester) Kind() attest.Kind { return t.machine.Kind }

// Attest answers as the machine would.
func (t *Attester) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if err := ctx.Err(); err != nil {
		return attest.Evidence{}, nil, fmt.Errorf("attesttest: %w", err)
	}
	if b.IsZero() {
		return attest.Evidence{}, nil, errors.New("attesttest: nothing to sign: the bound is zero")
	}
	return t.attest(b.Bytes())
}

func (t *Attester) attest(reportData [64]byte) (attest.Evidence, attest.Endorsements, error) {
	s, err := t.setup()
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	data, err := t.machine.report(reportData, s.key)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	return attest.Evidence{Kind: t.machine.Kind, Data: data}, clone(s.end), nil
}

// clone copies endorsements so that no caller can change another's.
func clone(end attest.Endorsements) attest.Endorsements {
	out := make(attest.Endorsements, len(end))
	for i, e := range end {
		out[i] = attest.Endorsement{Label: e.Label, Data: append([]byte(nil), e.Data...)}
	}
	return out
}
