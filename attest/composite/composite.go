// Package composite verifies the evidence of a machine together with that of
// the devices beside its processor: GPUs and the switches between them.
//
// It answers one question: do all the parts of this evidence come from genuine
// hardware, and is each of a kind that may stand where it stands? Each part is
// verified by the Verifier of its kind; this package reads no vendor's bytes.
//
// It stands on the relying party's side of the trust boundary, and the evidence
// comes from a stranger, who chose the parts. What keeps the parts of two
// machines from being mixed is the statement: each part must prove the same one
// (package appraise compares them), and the measured code of the first part is
// what asked the devices. A TPM is refused beside a processor, since neither SEV-SNP
// nor TDX evidence names its key, and a TPM of another machine would do as well
// (attack G29). Where hardware vouches for the key, as for Azure's paravisor, the
// two are one kind (attest.AzureSNP, attest.AzureTDX) and can be the first part.
package composite

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/pki"
)

// A Verifier verifies evidence of kind attest.Composite. It is immutable and safe
// for concurrent use. A nil Verifier and the zero one refuse everything.
type Verifier struct {
	// byKind holds at least one Verifier of a machine and one of a device.
	byKind map[attest.Kind]attest.Verifier
}

// NewVerifier returns a Verifier that accepts parts of the kinds that the given
// ones verify. Each kind may be given once.
func NewVerifier(verifiers ...attest.Verifier) (*Verifier, error) {
	v := &Verifier{byKind: make(map[attest.Kind]attest.Verifier, len(verifiers))}
	machines, devices := 0, 0
	for i, one := range verifiers {
		if one == nil {
			return nil, fmt.Errorf("composite: verifier %d is nil", i)
		}
		kind := one.Kind()
		switch {
		case !kind.Valid() || kind == attest.Composite:
			return nil, fmt.Errorf("composite: verifier of kind %s, expected one that a part can have", kind)
		case v.byKind[kind] != nil:
			return nil, fmt.Errorf("composite: two verifiers of kind %s", kind)
		case kind.Device():
			devices++
		default:
			machines++
		}
		v.byKind[kind] = one
	}
	if machines == 0 || devices == 0 {
		return nil, fmt.Errorf("composite: verifiers of %d machines and %d devices, expected at least one of each", machines, devices)
	}
	return v, nil
}

// Kind returns Composite.
func (v *Verifier) Kind() attest.Kind { return attest.Composite }

// Verify establishes that genuine hardware signed every part. The Claims are
// those of the first part, with its kind, and the claims of the others in Parts.
// Checks on the second part are called hardware.part2_NAME, and so on.
func (v *Verifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	if v == nil {
		return nil, attest.NewFailure("hardware.kind", attest.CodeKindMismatch, "a verifier that accepts no kind", "one from NewVerifier")
	}
	if ev.Kind != attest.Composite {
		return nil, attest.NewFailure("hardware.kind", attest.CodeKindMismatch, ev.Kind.String(), attest.Composite.String())
	}
	if len(ev.Data) > attest.MaxEvidence {
		return nil, attest.NewFailure("hardware.composite", attest.CodeTooLarge,
			fmt.Sprintf("%d bytes", len(ev.Data)), fmt.Sprintf("at most %d", attest.MaxEvidence))
	}
	parts, err := form.ParseComposite(ev.Data)
	if err != nil {
		return nil, attest.NewFailure("hardware.composite", attest.CodeMalformed, err.Error(), "evidence of several parts")
	}
	checks := v.arrangement(parts)
	if err := attest.FailureOf(checks); err != nil {
		return nil, err // parts that are not looked at any further
	}
	return v.verifyParts(parts, end, at, checks)
}

// arrangement looks at which parts there are before any signature is verified.
func (v *Verifier) arrangement(parts []attest.Evidence) []attest.Check {
	first := parts[0].Kind
	checks := []attest.Check{
		pki.Judge("hardware.composite", true, "", fmt.Sprintf("%d parts", len(parts)), ""),
		pki.Judge("hardware.part1_kind", v.byKind[first] != nil && !first.Device(), attest.CodeKindMismatch, first.String(), "a machine: "+v.kinds(false)),
	}
	for i, p := range parts[1:] {
		checks = append(checks, v.place(i+1, p), unique(parts, i+1))
	}
	return checks
}

// place says whether a part may stand behind the first.
func (v *Verifier) place(i int, p attest.Evidence) attest.Check {
	name, expected := partName(i, "kind"), "a device: "+v.kinds(true)
	if p.Kind == attest.TPM {
		return pki.Judge(name, false, attest.CodeNotBound, "a TPM whose key the machine's evidence does not name", expected)
	}
	return pki.Judge(name, v.byKind[p.Kind] != nil && p.Kind.Device(), attest.CodeKindMismatch, p.Kind.String(), expected)
}

// unique refuses a part that was given before: eight copies of one GPU's
// evidence are no eight GPUs.
func unique(parts []attest.Evidence, i int) attest.Check {
	for j, other := range parts[:i] {
		if bytes.Equal(parts[i].Data, other.Data) {
			return pki.Judge(partName(i, "unique"), false, attest.CodeAmbiguous, fmt.Sprintf("the bytes of part %d", j+1), "evidence of its own")
		}
	}
	return pki.Judge(partName(i, "unique"), true, "", "evidence of its own", "")
}

// kinds lists those that a place can have.
func (v *Verifier) kinds(device bool) string {
	var names []string
	for _, k := range attest.Kinds() {
		if v.byKind[k] != nil && k.Device() == device {
			names = append(names, k.String())
		}
	}
	return strings.Join(names, " or ")
}

func (v *Verifier) verifyParts(parts []attest.Evidence, end attest.Endorsements, at time.Time, checks []attest.Check) (*attest.Claims, error) {
	all := make([]*attest.Claims, len(parts))
	for i, p := range parts {
		claims, err := v.byKind[p.Kind].Verify(p, end, at)
		checks = append(checks, partChecks(i, p.Kind, claims, err)...)
		if err == nil {
			all[i] = claims
		}
	}
	checks = append(checks, devices(all)...)
	if err := attest.FailureOf(checks); err != nil {
		return nil, err
	}
	return join(all, checks), nil
}

// partChecks takes over what the Verifier of a part found, under names of the
// part's own.
func partChecks(i int, kind attest.Kind, claims *attest.Claims, err error) []attest.Check {
	var refused *attest.Failure
	switch {
	case errors.As(err, &refused) && len(refused.Failed()) != 0:
		return renamed(i, refused.Checks)
	case err != nil:
		code := attest.CodeMalformed
		if errors.Is(err, attest.ErrUnavailable) {
			code = attest.CodeUnavailable
		}
		return []attest.Check{pki.Judge(partName(i, "evidence"), false, code, err.Error(), "evidence that can be verified")}
	case claims == nil || claims.Kind != kind:
		return []attest.Check{pki.Judge(partName(i, "evidence"), false, attest.CodeMalformed, "no claims, or those of another kind", "claims of kind "+kind.String())}
	}
	return renamed(i, claims.Checks)
}

func renamed(i int, checks []attest.Check) []attest.Check {
	if i == 0 {
		return checks
	}
	out := make([]attest.Check, len(checks))
	for n, c := range checks {
		c.Name = partName(i, strings.TrimPrefix(c.Name, "hardware."))
		out[n] = c
	}
	return out
}

// partName is the name of a check on the part with that index, counted from 1.
func partName(i int, name string) string { return fmt.Sprintf("hardware.part%d_%s", i+1, name) }

// A Device is the Detail of the Claims of a device, which can tell it from every
// other one.
type Device interface {
	// Identity is the same in all evidence of one device and in that of no other:
	// the vendor certified it. It is empty if there is none.
	Identity() string
}

// devices refuses two parts by one device, whose signatures differ, and a device
// that cannot be told from others.
func devices(parts []*attest.Claims) []attest.Check {
	var checks []attest.Check
	seen := make(map[string]int)
	for i, p := range parts {
		if p == nil || !p.Kind.Device() {
			continue
		}
		const expected = "a device that no other part is about"
		name := partName(i, "device")
		id := ""
		if d, ok := p.Detail.(Device); ok {
			id = d.Identity()
		}
		key := p.Kind.String() + " " + id
		first, twice := seen[key]
		switch {
		case id == "":
			checks = append(checks, pki.Judge(name, false, attest.CodeAmbiguous, "a device without an identity", expected))
		case twice:
			checks = append(checks, pki.Judge(name, false, attest.CodeAmbiguous, fmt.Sprintf("%s, as part %d", pki.Brief(id), first+1), expected))
		default:
			checks = append(checks, pki.Judge(name, true, "", pki.Brief(id), ""))
		}
		seen[key] = i
	}
	return checks
}

// join makes one of the claims of all parts.
func join(all []*attest.Claims, checks []attest.Check) *attest.Claims {
	out := *all[0]
	out.Parts = all[1:]
	out.Checks = checks
	for _, p := range out.Parts {
		out.Endorsed = pki.Narrow(out.Endorsed, p.Endorsed)
		out.Simulated = out.Simulated || p.Simulated
	}
	return &out
}
