package endorse

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/pcs"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/freshness"
	"github.com/blindbox/blindbox/endorse/source"
)

// Roots are what objects are verified up to. A nil field accepts nothing of that
// vendor.
type Roots struct {
	AMD    *snp.Verifier
	Intel  *pcs.Verifier
	GPU    *nvgpu.Verifier // of kind NVIDIAGPU
	Switch *nvgpu.Verifier // of kind NVSwitch
}

// NewRoots returns the vendors' own roots, as the verifiers pin them.
func NewRoots() (Roots, error) {
	var r Roots
	var errs [4]error
	r.AMD, errs[0] = snp.NewVerifier()
	r.Intel, errs[1] = pcs.NewVerifier()
	r.GPU, errs[2] = nvgpu.NewVerifier(attest.NVIDIAGPU)
	r.Switch, errs[3] = nvgpu.NewVerifier(attest.NVSwitch)
	if err := errors.Join(errs[:]...); err != nil {
		return Roots{}, fmt.Errorf("endorse: %w", err)
	}
	return r, nil
}

// subject is what an object is for.
type subject struct {
	evidence attest.Evidence
	beside   attest.Endorsements // the manifest whose signers' status it is
}

// check names of this package.
const (
	checkObject = "endorsements.object"
	checkDates  = "endorsements.dates"
	checkFloor  = "hardware.floor"
)

// check establishes that an answer is the object that was asked for, that its
// vendor signed it and that it is in force. s is what it is for,
// which may be none; NVIDIA's objects cannot be judged without.
func (r Roots) check(o source.Object, a fetch.Answer, s subject, at time.Time) (freshness.Facts, error) {
	facts, err := freshness.Read(o.Form(), a.Data)
	if err != nil {
		return freshness.Facts{}, attest.NewFailure(checkObject, attest.CodeMalformed, err.Error(), o.What())
	}
	if err := checkInForce(o, facts, at); err != nil {
		return freshness.Facts{}, err
	}
	switch o.Host() {
	case source.AMDKDS:
		err = r.checkAMD(o, a.Data, facts, at)
	case source.IntelPCS, source.IntelCRL:
		err = r.checkIntel(o, a, facts, at)
	case source.NVIDIARIM, source.NVIDIAOCSP:
		err = r.checkNVIDIA(o, a.Data, s, at)
	default:
		err = attest.NewFailure(checkObject, attest.CodeUntrustedRoot, o.What(), "an object of AMD's, Intel's or NVIDIA's")
	}
	if err != nil {
		return freshness.Facts{}, err
	}
	return facts, nil
}

// checkInForce compares the dates in both directions.
func checkInForce(o source.Object, f freshness.Facts, at time.Time) error {
	stale, early := CodeStaleCollateral, CodeStaleCollateral
	switch o.Form() {
	case source.FormCRL:
		stale, early = attest.CodeStaleCRL, attest.CodeBadCRL
	case source.FormVCEK:
		stale, early = attest.CodeExpired, attest.CodeExpired
	}
	seen := fmt.Sprintf("%s in force from %s to %s", o.What(), date(f.From), date(f.Until))
	switch {
	case f.From.After(at):
		return attest.NewFailure(checkDates, early, seen, "in force at "+date(at))
	case !f.Until.IsZero() && at.After(f.Until):
		return attest.NewFailure(checkDates, stale, seen, "in force at "+date(at))
	}
	return nil
}

// wrong is a genuine object that answers another question. A mirror that mixes
// them up would otherwise fill the cache with what never fits.
func wrong(o source.Object, seen string) error {
	return attest.NewFailure(checkObject, CodeWrongCollateral, seen, o.What())
}

func (r Roots) checkAMD(o source.Object, data []byte, f freshness.Facts, at time.Time) error {
	if r.AMD == nil {
		return attest.NewFailure(checkObject, attest.CodeUntrustedRoot, o.What(), "a root of AMD's to verify it with")
	}
	if o.Form() == source.FormVCEK {
		vek, err := r.AMD.CheckVEK(data, at)
		if err != nil {
			return err
		}
		made, err := source.VCEK(vek.Product.String(), vek.ChipID, source.TCB(vek.TCB))
		if err != nil || made.Key() != o.Key() {
			return wrong(o, fmt.Sprintf("certificate of %s chip %.8x.. at TCB %s", vek.Product, vek.ChipID, vek.TCB))
		}
		return nil
	}
	for _, line := range source.Lines() {
		if strings.Contains(o.Path(), "/"+line+"/") {
			product, err := snp.ParseProduct(line)
			if err != nil {
				return err
			}
			_, err = r.AMD.CheckARKCRL(product, data, at)
			return err
		}
	}
	return wrong(o, f.Subject)
}

// checkNVIDIA verifies a manifest or a status with the certificates of the
// device that it is for.
func (r Roots) checkNVIDIA(o source.Object, data []byte, s subject, at time.Time) error {
	verifier, ev := r.GPU, s.evidence
	if ev.Kind == attest.NVSwitch {
		verifier = r.Switch
	}
	if verifier == nil || !ev.Kind.Device() {
		return attest.NewFailure(checkObject, attest.CodeUntrustedRoot, o.What()+" without the evidence of a device", "the evidence that it is for")
	}
	g, err := form.ParseGPU(ev.Data)
	if err != nil {
		return attest.NewFailure(checkObject, attest.CodeMalformed, err.Error(), "evidence of a GPU or an NVSwitch")
	}
	if err := sameManifest(o, data); err != nil {
		return err
	}
	_, err = verifier.Endorse(g.Chain, append(s.beside[:len(s.beside):len(s.beside)], attest.Endorsement{Label: o.Label(), Data: data}), at)
	var f *attest.Failure
	// A status that withdraws a certificate is one to keep: what is made of it
	// is the verifier's business.
	if errors.As(err, &f) && o.Form() == source.FormOCSP && onlyRevoked(f) {
		return nil
	}
	return err
}

// sameManifest compares the version in a manifest with the end of the id that
// was asked for, where a VBIOS's version stands without its dots. A manifest
// does not hold its id.
func sameManifest(o source.Object, data []byte) error {
	if o.Form() != source.FormRIM {
		return nil
	}
	m, err := nvgpu.ParseManifest(data)
	if err != nil {
		return attest.NewFailure(checkObject, attest.CodeMalformed, err.Error(), o.What())
	}
	id, version := strings.ToUpper(o.Label()), strings.ToUpper(m.Version)
	if strings.HasSuffix(id, "_"+version) || strings.HasSuffix(id, "_"+strings.ReplaceAll(version, ".", "")) {
		return nil
	}
	return wrong(o, fmt.Sprintf("manifest of version %.40q", m.Version))
}

func onlyRevoked(f *attest.Failure) bool {
	for _, c := range f.Failed() {
		if c.Code != attest.CodeRevoked {
			return false
		}
	}
	return len(f.Failed()) != 0
}

// sameSubject compares what an Intel document is about with what was asked for.
func sameSubject(o source.Object, f freshness.Facts) bool {
	tee, _, _ := strings.Cut(strings.TrimPrefix(o.Path(), "/"), "/")
	switch o.Form() {
	case source.FormTCBInfo:
		_, fmspc, found := strings.Cut(f.Subject, "/")
		return found && strings.HasPrefix(f.Subject, tee+"/") && strings.Contains(o.Path(), "fmspc="+fmspc)
	case source.FormQEIdentity:
		return f.Subject == map[string]string{"sgx": "qe", "tdx": "td_qe"}[tee]
	}
	return false
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// checkIntel verifies an object of the PCS with the certificates that came
// beside it.
func (r Roots) checkIntel(o source.Object, a fetch.Answer, f freshness.Facts, at time.Time) error {
	if r.Intel == nil {
		return attest.NewFailure(checkObject, attest.CodeUntrustedRoot, o.What(), "a root of Intel's to verify it with")
	}
	switch o.Form() {
	case source.FormCRL:
		return r.checkIntelCRL(o, a, at)
	case source.FormTCBInfo, source.FormQEIdentity:
		member := pcs.MemberTCBInfo
		if o.Form() == source.FormQEIdentity {
			member = pcs.MemberQEIdentity
		}
		if err := r.Intel.CheckDocument(a.Data, a.Chain, member, at); err != nil {
			return err
		}
		if !sameSubject(o, f) {
			return wrong(o, "one of "+f.Subject)
		}
		return nil
	}
	return wrong(o, o.Form().String())
}

// checkIntelCRL tells the two CAs apart by their names: both are genuine.
func (r Roots) checkIntelCRL(o source.Object, a fetch.Answer, at time.Time) error {
	if o.Host() == source.IntelCRL {
		_, err := r.Intel.CheckCRL(a.Data, nil, at)
		return err
	}
	if a.Chain == nil {
		return attest.NewFailure(checkObject, attest.CodeBadChain, "no certificate of the CRL's issuer", "one beside the CRL")
	}
	issuer, err := r.Intel.CheckCRL(a.Data, a.Chain, at)
	if err != nil {
		return err
	}
	for _, ca := range []string{"Platform", "Processor"} {
		if strings.HasSuffix(issuer, "PCK "+ca+" CA") && strings.Contains(o.Path(), "ca="+strings.ToLower(ca)+"&") {
			return nil
		}
	}
	return wrong(o, fmt.Sprintf("a CRL of %.60q", issuer))
}
