package attesttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/tpmforge"
)

// TPMMaker certifies attestation keys. It is safe for concurrent use.
type TPMMaker struct {
	certs func() (tpmCerts, error)
}

type tpmCerts struct {
	root, ca       *x509.Certificate
	rootKey, caKey crypto.Signer
}

var (
	newTPMMaker      = sync.OnceValue(makeTPMMaker)
	newStrangerMaker = sync.OnceValue(makeTPMMaker)
	tpmKeys          = sync.OnceValues(makeTPMKeys)
)

// NewTPMMaker returns the maker. It is the same one throughout the process.
func NewTPMMaker() *TPMMaker { return newTPMMaker() }

// StrangerTPMMaker returns somebody who has given his own keys the maker's names.
func StrangerTPMMaker() *TPMMaker { return newStrangerMaker() }

func makeTPMMaker() *TPMMaker {
	return &TPMMaker{certs: sync.OnceValues(func() (c tpmCerts, err error) {
		from, to := rootsValid()
		if c.rootKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return c, err
		}
		if c.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return c, err
		}
		if c.root, err = tpmforge.Issue(tpmforge.Template("attesttest TPM root", 1, 1, from, to), nil, c.rootKey.Public(), c.rootKey); err != nil {
			return c, err
		}
		c.ca, err = tpmforge.Issue(tpmforge.Template("attesttest AK CA", 2, 0, from, to), c.root, c.caKey.Public(), c.rootKey)
		return c, err
	})}
}

// Root returns the certificate that a verifier would pin, DER.
func (m *TPMMaker) Root(t testing.TB) []byte {
	t.Helper()
	return m.must(t).root.Raw
}

func (m *TPMMaker) must(t testing.TB) tpmCerts {
	t.Helper()
	c, err := m.certs()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return c
}

// tpmKeySet are the keys of fake TPMs: they take long to make.
type tpmKeySet struct {
	ecc, other, ecc384 *ecdsa.PrivateKey
	rsa, otherRSA      *rsa.PrivateKey
}

func makeTPMKeys() (k tpmKeySet, err error) {
	for _, e := range []struct {
		key   **ecdsa.PrivateKey
		curve elliptic.Curve
	}{{&k.ecc, elliptic.P256()}, {&k.other, elliptic.P256()}, {&k.ecc384, elliptic.P384()}} {
		if *e.key, err = ecdsa.GenerateKey(e.curve, rand.Reader); err != nil {
			return k, err
		}
	}
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return k, err
	}
	k.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	return k, err
}

func mustTPMKeys(t testing.TB) tpmKeySet {
	t.Helper()
	k, err := tpmKeys()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return k
}

// TPMMachine is everything that decides what a machine with a TPM sends. Options
// change it; the order of the fields is the order in which they take effect.
type TPMMachine struct {
	Maker *TPMMaker
	AK    tpmforge.AK
	Bank  uint16
	Log   tpmforge.Log
	// Registers are those to which Log leads, and those of the operating system.
	Registers tpmforge.Registers
	// Select are the registers that are quoted.
	Select []uint8
	Quote  []func(*tpmforge.Quote)
	// Sign signs with AK unless it is set.
	Sign func(message []byte) ([]byte, error)
	Form []func(*form.TPM)
	// Cert changes the certificate of the key, Chain the chain, leaf first.
	Cert    []func(*x509.Certificate)
	Chain   []func([]*x509.Certificate) []*x509.Certificate
	Endorse []func(attest.Endorsements) attest.Endorsements
	// WithLog staples the event log.
	WithLog bool
}

// TPMOption changes a TPMMachine.
type TPMOption func(*TPMMachine)

// TPMImage is what the machine started, as PCR 4 has it.
func TPMImage() []byte { return []byte("attesttest image") }

// TPMRegister returns a register of every machine unless an option says otherwise.
func TPMRegister(t testing.TB, index uint8) []byte {
	t.Helper()
	return newTPMMachine(t).Registers[index]
}

// newTPMMachine returns a healthy machine: Secure Boot on, one image started,
// register 11 extended by it, 12 to 14 not used, 15 with a policy.
func newTPMMachine(t testing.TB) *TPMMachine {
	m := &TPMMachine{Maker: NewTPMMaker(), AK: tpmforge.NewAK(mustTPMKeys(t).ecc, tpmforge.SHA256), Bank: tpmforge.SHA256}
	m.Select = []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15}
	m.SetLog(tpmforge.HealthyLog(m.Bank, TPMImage()))
	return m
}

// tpmLaunched is what was extended into a register of the operating system's; for
// PCR 15, the digest of the box's policy.
func tpmLaunched(index uint8) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "attesttest PCR%d", index))
}

// SetLog gives the machine another history.
func (m *TPMMachine) SetLog(l tpmforge.Log) {
	m.Log, m.Registers = l, l.Replay()
	for i := range uint8(24) {
		if m.Registers[i] != nil {
			continue
		}
		m.Registers[i] = make([]byte, len(m.Registers[7]))
		if i == 11 || i == 15 {
			value := tpmLaunched(i)
			m.Registers[i] = tpmforge.Sum(m.Bank, m.Registers[i], value[:])
		}
	}
}

// MakeTPM returns what a machine with a TPM answers when it is asked for a quote
// over the nonce.
func MakeTPM(t testing.TB, nonce []byte, opts ...TPMOption) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	m := newTPMMachine(t)
	for _, o := range opts {
		o(m)
	}
	q := m.form(t, nonce)
	return attest.Evidence{Kind: attest.TPM, Data: q.Encode()}, m.endorsements(t)
}

func (m *TPMMachine) form(t testing.TB, nonce []byte) form.TPM {
	t.Helper()
	chosen := tpmforge.Registers{}
	for _, i := range m.Select {
		chosen[i] = m.Registers[i]
	}
	q := tpmforge.NewQuote(m.AK, m.Bank, chosen, nonce)
	for _, f := range m.Quote {
		f(&q)
	}
	sign := m.AK.Sign
	if m.Sign != nil {
		sign = m.Sign
	}
	message := q.Encode()
	sig, err := sign(message)
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	out := form.TPM{Quote: message, Signature: sig, AKPublic: m.AK.Area(), Bank: m.Bank}
	for _, i := range slices.Sorted(slices.Values(m.Select)) {
		out.PCRs = append(out.PCRs, form.PCR{Index: i, Value: chosen[i]})
	}
	for _, f := range m.Form {
		f(&out)
	}
	return out
}

func (m *TPMMachine) endorsements(t testing.TB) attest.Endorsements {
	t.Helper()
	c := m.Maker.must(t)
	now := Epoch()
	leaf := tpmforge.Template("attesttest AK", 3, -1, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0))
	for _, f := range m.Cert {
		f(leaf)
	}
	cert, err := tpmforge.Issue(leaf, c.ca, m.AK.Signer.Public(), c.caKey)
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	chain := []*x509.Certificate{cert, c.ca, c.root}
	for _, f := range m.Chain {
		chain = f(chain)
	}
	end := attest.Endorsements{{Label: attest.LabelTPMAKChain, Data: tpmforge.PEM(chain...)}}
	if m.WithLog {
		end = append(end, attest.Endorsement{Label: attest.LabelEventLog, Data: m.Log.Encode()})
	}
	for _, f := range m.Endorse {
		end = f(end)
	}
	return end
}

// Paravisor is everything that decides what an Azure VM on SEV-SNP sends.
type Paravisor struct {
	TPM     *TPMMachine
	Console bool
	Runtime []func([]byte) []byte
	HCL     []func(*tpmforge.HCL)
	// ReportData changes what the hardware is asked to sign.
	ReportData []func(*[64]byte)
	// SNP changes the machine below; with TDX set, Intel does, and TDReport the
	// TDREPORT in the HCL report.
	SNP      []Option
	TDX      bool
	Intel    []IntelOption
	TDReport []func([]byte)
	// Report changes the HCL report after it was put together.
	Report  []func([]byte) []byte
	Form    []func(*form.Azure)
	Endorse []func(attest.Endorsements) attest.Endorsements
}

// ParavisorOption changes a Paravisor.
type ParavisorOption func(*Paravisor)

// OnTDX puts the paravisor on a machine with TDX.
func OnTDX() ParavisorOption { return func(p *Paravisor) { p.TDX = true } }

// MakeAzure returns what an Azure VM answers when its TPM is asked for a quote over
// the nonce: one on SEV-SNP, or OnTDX.
func MakeAzure(t testing.TB, nonce []byte, opts ...ParavisorOption) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	p := &Paravisor{TPM: newTPMMachine(t)}
	p.TPM.AK = tpmforge.NewAK(mustTPMKeys(t).rsa, tpmforge.SHA256)
	for _, o := range opts {
		o(p)
	}
	a, end := p.make(t, nonce)
	kind := attest.AzureSNP
	if p.TDX {
		kind = attest.AzureTDX
	}
	return attest.Evidence{Kind: kind, Data: a.Encode()}, end
}

func (p *Paravisor) make(t testing.TB, nonce []byte) (form.Azure, attest.Endorsements) {
	t.Helper()
	runtime := tpmforge.Runtime(&mustTPMKeys(t).rsa.PublicKey, p.Console)
	for _, f := range p.Runtime {
		runtime = f(runtime)
	}
	hcl := tpmforge.NewHCL(runtime)
	for _, f := range p.HCL {
		f(&hcl)
	}
	data := hcl.ReportData()
	for _, f := range p.ReportData {
		f(&data)
	}
	var a form.Azure
	var report []byte
	var end attest.Endorsements
	if p.TDX {
		hcl.Type = 4
		a.TDQuote, report, end = p.trustDomain(t, data)
	} else {
		hardware, vendor := New().Make(t, data, p.SNP...)
		report, end = hardware.Data, vendor
	}
	a.HCLReport, a.TPM = hcl.Encode(report), p.TPM.form(t, nonce)
	for _, f := range p.Report {
		a.HCLReport = f(a.HCLReport)
	}
	for _, f := range p.Form {
		f(&a)
	}
	if p.TPM.WithLog {
		end = append(end, attest.Endorsement{Label: attest.LabelEventLog, Data: p.TPM.Log.Encode()})
	}
	for _, f := range p.Endorse {
		end = f(end)
	}
	return a, end
}

// TPMRSAKey returns the RSA key of fake TPMs that have one.
func TPMRSAKey(t testing.TB) crypto.Signer {
	t.Helper()
	return mustTPMKeys(t).rsa
}

// trustDomain returns the TD quote, the TDREPORT that it was made from and what
// endorses it.
func (p *Paravisor) trustDomain(t testing.TB, data [64]byte) (quote, report []byte, end attest.Endorsements) {
	t.Helper()
	hardware, end := NewIntel().Make(t, attest.TDX, data, p.Intel...)
	report = tpmforge.TDReport(hardware.Data)
	for _, f := range p.TDReport {
		f(report)
	}
	return hardware.Data, report, end
}
