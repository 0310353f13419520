// Package need answers one question: which vendor-signed objects does this
// evidence need beside itself?
//
// It reads the few numbers in the evidence that name objects: a chip and its
// TCB, a platform type, a firmware version. It establishes nothing about them:
// evidence that lies gets endorsements that do not fit it, and the verifier says
// so. The package stands outside of all trust, on both sides, and links no
// verifier, so the box can use it.
package need

import (
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/endorse/source"
)

// Part is what one piece of evidence needs.
type Part struct {
	Kind attest.Kind
	// Plans are alternatives, the likeliest first: where the evidence does not
	// say which product it comes from, only the vendor's answer to the first
	// object of a plan tells. There is exactly one plan as a rule, and it may be
	// empty.
	Plans []Plan
}

// Plan is a set of objects that belong together.
type Plan []source.Object

// Options change what is asked for.
type Options struct {
	// Have are endorsements that are there already; what they cover is not needed.
	Have attest.Endorsements
	// Update is the set of Intel's TCB info; the zero value is the standard one.
	Update source.Update
}

// Of returns what each part of the evidence needs. Composite evidence has
// several parts, everything else one.
func Of(ev attest.Evidence, o Options) ([]Part, error) {
	if !ev.Kind.Valid() || len(ev.Data) == 0 || len(ev.Data) > attest.MaxEvidence {
		return nil, fmt.Errorf("need: %d bytes of evidence of kind %s, expected 1 to %d of a known kind", len(ev.Data), ev.Kind, attest.MaxEvidence)
	}
	if ev.Kind != attest.Composite {
		p, err := o.one(ev)
		if err != nil {
			return nil, err
		}
		return []Part{p}, nil
	}
	inner, err := form.ParseComposite(ev.Data)
	if err != nil {
		return nil, fmt.Errorf("need: %w", err)
	}
	var out []Part
	for _, e := range inner {
		p, err := o.one(e)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (o Options) one(ev attest.Evidence) (Part, error) {
	var plans []Plan
	var err error
	switch ev.Kind {
	case attest.SNP:
		plans, err = o.snp(ev.Data)
	case attest.TDX, attest.SGX:
		plans, err = o.quote(ev.Kind, ev.Data)
	case attest.AzureSNP, attest.AzureTDX:
		plans, err = o.azure(ev)
	case attest.NVIDIAGPU, attest.NVSwitch:
		plans, err = o.gpu(ev)
	case attest.Nitro, attest.TPM, attest.SimSNP:
		// A Nitro document holds its whole chain, which AWS has validated without a
		// CRL; the issuers of a TPM are whoever made it; a simulated root is its
		// owner's.
		plans = []Plan{nil}
	default:
		return Part{}, fmt.Errorf("need: evidence of kind %s has no objects that this build knows of", ev.Kind)
	}
	if err != nil {
		return Part{}, fmt.Errorf("need: %s: %w", ev.Kind, err)
	}
	for i := range plans {
		plans[i] = o.missing(plans[i])
	}
	return Part{Kind: ev.Kind, Plans: plans}, nil
}

// missing leaves out what is there already.
func (o Options) missing(p Plan) Plan {
	var out Plan
	for _, obj := range p {
		if !o.has(obj.Label()) && !out.has(obj) {
			out = append(out, obj)
		}
	}
	return out
}

func (o Options) has(label string) bool {
	_, found, err := o.Have.Get(label)
	return found || err != nil
}

func (p Plan) has(obj source.Object) bool {
	for _, other := range p {
		if other.Key() == obj.Key() {
			return true
		}
	}
	return false
}

// hclReport is where the hardware's report lies in an Azure paravisor's: after
// a header of 32 bytes (Azure confidential VM guest attestation, report layout).
const hclReport = 32

func (o Options) azure(ev attest.Evidence) ([]Plan, error) {
	a, err := form.ParseAzure(ev.Data)
	if err != nil {
		return nil, err
	}
	if ev.Kind == attest.AzureTDX {
		return o.quote(attest.TDX, a.TDQuote)
	}
	if len(a.HCLReport) < hclReport+snpReport {
		return nil, fmt.Errorf("paravisor report of %d bytes, expected at least %d", len(a.HCLReport), hclReport+snpReport)
	}
	return o.snp(a.HCLReport[hclReport : hclReport+snpReport])
}

// Describe lists the objects of all plans, one a line, for people.
func Describe(parts []Part) string {
	var lines []string
	for _, p := range parts {
		for _, plan := range p.Plans {
			for _, obj := range plan {
				lines = append(lines, p.Kind.String()+": "+obj.What()+" from "+obj.Host().String())
			}
		}
	}
	return strings.Join(lines, "\n")
}
