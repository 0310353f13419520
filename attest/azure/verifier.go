package azure

import (
	"bytes"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/pki"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
	"github.com/blindbox/blindbox/attest/tpm"
)

// Verifier verifies Azure VMs of one kind. It is immutable and safe for concurrent
// use. The zero Verifier, and none at all, refuse everything.
type Verifier struct {
	kind     attest.Kind
	hardware attest.Verifier
}

// NewVerifier returns the Verifier for AzureSNP or AzureTDX. It trusts AMD's or
// Intel's roots and nothing else; no key of Microsoft's is involved.
func NewVerifier(kind attest.Kind) (*Verifier, error) {
	var hardware attest.Verifier
	var err error
	switch kind {
	case attest.AzureSNP:
		hardware, err = snp.NewVerifier()
	case attest.AzureTDX:
		hardware, err = tdx.NewVerifier()
	}
	if err != nil {
		return nil, err
	}
	return NewVerifierWithHardware(kind, hardware)
}

// NewVerifierWithHardware returns a Verifier that leaves the hardware's report to
// another one, of kind SNP or TDX, which holds the vendor's roots.
func NewVerifierWithHardware(kind attest.Kind, hardware attest.Verifier) (*Verifier, error) {
	want := map[attest.Kind]attest.Kind{attest.AzureSNP: attest.SNP, attest.AzureTDX: attest.TDX}[kind]
	switch {
	case !want.Valid():
		return nil, fmt.Errorf("azure: no verifier for evidence of kind %s", kind)
	case hardware == nil:
		return nil, errors.New("azure: no verifier for the hardware's report")
	case hardware.Kind() != want:
		return nil, fmt.Errorf("azure: a verifier of %s for the hardware's report, expected %s", hardware.Kind(), want)
	}
	return &Verifier{kind: kind, hardware: hardware}, nil
}

// Kind returns the kind of evidence that v accepts.
func (v *Verifier) Kind() attest.Kind {
	if v == nil {
		return 0
	}
	return v.kind
}

// Verify establishes that the hardware vouches for a paravisor and its attestation
// key, and that this key signed the registers. See [attest.Verifier] for its errors.
//
// Of the Endorsements it reads those of the hardware (package snp or tdx) and the
// event-log of what the paravisor's TPM measured.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	log, check := eventLog(end)
	vendor := withoutLog(end)
	return v.verify(ev, log, check, func(hw attest.Evidence) (*attest.Claims, error) { return v.hardware.Verify(hw, vendor, at) })
}

// Chain is the hardware vendor's endorsements of one machine, verified once. It is
// immutable and safe for concurrent use.
type Chain struct {
	verifier *Verifier
	snp      *snp.Chain
	log      []byte
	check    []attest.Check
}

// Endorsed returns the time span in which every certificate and CRL of the chain
// is in force.
func (c *Chain) Endorsed() attest.Validity {
	if c == nil || c.snp == nil {
		return attest.Validity{}
	}
	return c.snp.Endorsed()
}

// Endorse verifies the vendor's certificates and CRLs alone, so that many quotes of
// one machine can be verified by [Chain.Verify] at the price of their signatures.
// It is for AzureSNP; a TD quote brings its own certificates.
func (v *Verifier) Endorse(end attest.Endorsements, at time.Time) (*Chain, error) {
	if v.Kind() != attest.AzureSNP {
		return nil, fmt.Errorf("azure: no chain of endorsements for %s", v.Kind())
	}
	hardware, ok := v.hardware.(*snp.Verifier)
	if !ok {
		return nil, errors.New("azure: no chain of endorsements by a verifier of another package's")
	}
	chain, err := hardware.Endorse(end, at)
	if err != nil {
		return nil, err
	}
	c := &Chain{verifier: v, snp: chain}
	c.log, c.check = eventLog(end)
	c.log = bytes.Clone(c.log)
	if len(c.check) != 0 {
		return nil, attest.FailureOf(c.check)
	}
	return c, nil
}

// Verify is [Verifier.Verify] without verifying the certificates again.
func (c *Chain) Verify(ev attest.Evidence, at time.Time) (*attest.Claims, error) {
	if c == nil || c.verifier == nil {
		return nil, attest.NewFailure("hardware.chain", attest.CodeBadChain, "a chain that was never verified", "one from Endorse")
	}
	return c.verifier.verify(ev, c.log, nil, func(hw attest.Evidence) (*attest.Claims, error) { return c.snp.Verify(hw, at) })
}

// eventLog returns the event log that came beside the evidence, nil if there was
// none, and a failed check if there are two or it cannot be taken.
func eventLog(end attest.Endorsements) ([]byte, []attest.Check) {
	const name = "hardware.tpm_event_log_form"
	log, found, err := end.Get(attest.LabelEventLog)
	switch {
	case err != nil:
		return nil, []attest.Check{pki.Judge(name, false, attest.CodeAmbiguous, err.Error(), "one event log")}
	case len(log) > attest.MaxEndorsement:
		return nil, []attest.Check{pki.Judge(name, false, attest.CodeTooLarge, fmt.Sprintf("%d bytes", len(log)), fmt.Sprintf("at most %d", attest.MaxEndorsement))}
	case found && len(log) == 0:
		return nil, []attest.Check{pki.Judge(name, false, attest.CodeMalformed, "an empty event log", "a log, or none")}
	}
	return log, nil
}

// withoutLog returns what is for the hardware's verifier. The event log is the
// TPM's; one of TDX would have to lead to other registers.
func withoutLog(end attest.Endorsements) attest.Endorsements {
	if _, found, err := end.Get(attest.LabelEventLog); !found && err == nil {
		return end
	}
	out := make(attest.Endorsements, 0, len(end))
	for _, e := range end {
		if e.Label != attest.LabelEventLog {
			out = append(out, e)
		}
	}
	return out
}

// verification is one run over one piece of evidence.
type verification struct {
	kind   attest.Kind
	form   form.Azure
	hcl    *HCL
	checks []attest.Check
	claims Claims
}

func (v *Verifier) verify(ev attest.Evidence, log []byte, before []attest.Check, hardware func(attest.Evidence) (*attest.Claims, error)) (*attest.Claims, error) {
	r := &verification{kind: v.Kind(), checks: make([]attest.Check, 0, 64)}
	ours := ev.Kind == r.kind && r.kind.Valid()
	r.judge("hardware.kind", ours, attest.CodeKindMismatch, ev.Kind.String(), r.kind.String())
	r.checks = append(r.checks, before...)
	if ours && r.parse(ev.Data) {
		// The TPM's signature does not depend on the hardware's, which takes longer.
		read := make(chan examined, 1)
		go func() { read <- examine(r.form.TPM) }()
		r.askHardware(hardware)
		r.quote(<-read, log)
	}
	if err := attest.FailureOf(r.checks); err != nil {
		return nil, err
	}
	hw := r.claims.Hardware
	return &attest.Claims{
		Kind: r.kind, Nonce: r.claims.TPM.Nonce(), LaunchDigest: r.claims.TPM.LaunchDigest(),
		Measurement: bytes.Clone(hw.Measurement), Endorsed: hw.Endorsed, Detail: &r.claims, Checks: r.checks,
	}, nil
}

func (r *verification) judge(name string, ok bool, code attest.Code, seen, expected string) bool {
	r.checks = append(r.checks, pki.Judge(name, ok, code, seen, expected))
	return ok
}

// parse takes the evidence apart, down to the runtime claims.
func (r *verification) parse(data []byte) bool {
	if !r.judge("hardware.azure_size", len(data) <= attest.MaxEvidence, attest.CodeTooLarge, strconv.Itoa(len(data))+" bytes", "at most "+strconv.Itoa(attest.MaxEvidence)) {
		return false
	}
	var err error
	if r.form, err = form.ParseAzure(data); !r.parsed("hardware.azure_form", err, "an HCL report and a quote") {
		return false
	}
	if r.hcl, err = ParseHCL(r.form.HCLReport); !r.parsed("hardware.hcl_report", err, "a paravisor's report") {
		return false
	}
	if !r.judge("hardware.hcl_kind", r.hcl.Kind == r.kind, attest.CodeKindMismatch, r.hcl.Kind.String(), r.kind.String()) {
		return false
	}
	r.claims.Runtime, err = ParseRuntime(r.hcl.Runtime)
	return r.parsed("hardware.hcl_runtime", err, "the paravisor's keys and configuration")
}

func (r *verification) parsed(name string, err error, expected string) bool {
	if err != nil {
		return r.judge(name, false, attest.CodeMalformed, err.Error(), expected)
	}
	return r.judge(name, true, "", "readable", expected)
}

// askHardware has the hardware's report verified, and compares what it signed with
// the runtime claims.
func (r *verification) askHardware(verify func(attest.Evidence) (*attest.Claims, error)) {
	hw := attest.Evidence{Kind: attest.SNP, Data: r.hcl.Hardware}
	if r.kind == attest.AzureTDX {
		hw = attest.Evidence{Kind: attest.TDX, Data: r.form.TDQuote}
		r.sameTD()
	} else {
		r.judge("hardware.azure_td_quote", len(r.form.TDQuote) == 0, attest.CodeAmbiguous, strconv.Itoa(len(r.form.TDQuote))+" bytes of TD quote", "none beside a report of SEV-SNP")
	}
	claims, err := verify(hw)
	if err != nil {
		r.refused(err)
		r.bound(r.signedData())
		return
	}
	r.claims.Hardware = claims
	r.adopt(claims.Checks)
	r.bound(claims.ReportData)
}

// adopt takes over the checks of the hardware's report. Its kind was compared here.
func (r *verification) adopt(checks []attest.Check) {
	for _, c := range checks {
		if c.Name != "hardware.kind" || c.Status != attest.Pass {
			r.checks = append(r.checks, c)
		}
	}
}

func (r *verification) refused(err error) {
	var f *attest.Failure
	if errors.As(err, &f) && len(f.Failed()) != 0 {
		r.adopt(f.Checks)
		return
	}
	r.judge("hardware.report", false, attest.CodeMalformed, err.Error(), "a report by the hardware")
}

// signedData is where the report data stands, for a report that was refused: the
// comparison is shown even then.
func (r *verification) signedData() [64]byte {
	if r.kind == attest.AzureTDX {
		return [64]byte(r.hcl.Hardware[tdReportData:])
	}
	const snpReportData = 0x50 // AMD 56860, ATTESTATION_REPORT
	return [64]byte(r.hcl.Hardware[snpReportData:])
}

func (r *verification) bound(signed [64]byte) {
	want := r.hcl.expectedData()
	expected := "" // is written for nobody if it is what was seen
	if signed != want {
		expected = inHex("the runtime claims' hash and zeros: ", want[:])
	}
	r.judge("hardware.hcl_bound", signed == want, attest.CodeNotBound, inHex("report data ", signed[:]), expected)
}

// inHex writes at most 66 bytes behind a word for them.
func inHex(what string, b []byte) string {
	return string(hex.AppendEncode(append(make([]byte, 0, 192), what...), b))
}

func (r *verification) sameTD() {
	err := checkTDREPORT(r.hcl.Hardware)
	r.parsed("hardware.hcl_td_report", err, "a TDREPORT")
	if err = sameTD(r.hcl.Hardware, r.form.TDQuote); err != nil {
		r.judge("hardware.hcl_td_quote", false, CodeTDMismatch, err.Error(), "a TD quote of the same trust domain")
		return
	}
	r.judge("hardware.hcl_td_quote", true, "", "of the same trust domain", "")
}

// examined is what is in a quote, nil if that cannot be said, and the checks of it.
type examined struct {
	claims *tpm.Claims
	checks []attest.Check
}

func examine(q form.TPM) examined {
	claims, checks := tpm.Examine(q)
	return examined{claims, checks}
}

// quote adds what was found in the TPM's quote and compares its key with the
// paravisor's.
func (r *verification) quote(found examined, log []byte) {
	claims := found.claims
	r.checks = append(r.checks, found.checks...)
	r.attestationKey()
	if claims == nil {
		return
	}
	// The paravisor names the key only; what kind of key it is, its TPM says in
	// the qualified name, which fits nothing but this whole public area.
	r.judge("hardware.hcl_ak_name", claims.Hierarchy != tpm.HierarchyUnknown, CodeAKMismatch,
		claims.Hierarchy.String()+" hierarchy", "a primary key, of which the quote holds the qualified name")
	if log != nil {
		r.checks = append(r.checks, claims.ReadLog(log)...)
	}
	claims.Binding = tpm.ByHardware
	r.claims.TPM = claims
}

func (r *verification) attestationKey() {
	area, err := tpm.ParsePublic(r.form.TPM.AKPublic)
	if err != nil {
		return // Examine has said so
	}
	key, ok := area.Key.(*rsa.PublicKey)
	r.judge("hardware.hcl_ak", ok && key.Equal(r.claims.Runtime.AK), CodeAKMismatch, inHex("quoted by ", area.Name), "by HCLAkPub of the runtime claims")
}
