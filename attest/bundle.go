package attest

import (
	"fmt"

	"github.com/blindbox/blindbox/attest/internal/blob"
)

// Bundle is everything a box shows: Evidence, the Endorsements stapled to it,
// the Statement the Evidence is over, and the policy document the Statement
// names. It is what the gate carries and what is saved to a file, in one
// encoding, so that what was verified once can be verified again.
type Bundle struct {
	Evidence     Evidence
	Endorsements Endorsements
	// Statement is kept as received, since its hash is what was signed.
	Statement []byte
	// Policy is the exact document.
	Policy []byte
	// AttestationKey is the public key whose hash the Statement names, raw
	// Ed25519 (32 bytes), or empty.
	AttestationKey []byte
}

// bundleMagic opens every encoded Bundle; the digit is the version.
const bundleMagic = "BBXBNDL1"

// Encode returns the Bundle as bytes, or an error if a part is over its limit.
func (b Bundle) Encode() ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	out := []byte(bundleMagic)
	out = blob.Append(out, []byte(b.Evidence.Kind.String()))
	out = blob.Append(out, b.Evidence.Data)
	out = blob.Append(out, b.Statement)
	out = blob.Append(out, b.Policy)
	out = blob.Append(out, b.AttestationKey)
	out = append(out, byte(len(b.Endorsements)))
	for _, e := range b.Endorsements {
		out = blob.Append(out, []byte(e.Label))
		out = blob.Append(out, e.Data)
	}
	if len(out) > MaxBundle {
		return nil, fmt.Errorf("attest: bundle of %d bytes, limit %d", len(out), MaxBundle)
	}
	return out, nil
}

func (b Bundle) validate() error {
	switch {
	case !b.Evidence.Kind.Valid():
		return fmt.Errorf("attest: bundle has evidence of kind %s", b.Evidence.Kind)
	case len(b.Evidence.Data) == 0 || len(b.Evidence.Data) > MaxEvidence:
		return fmt.Errorf("attest: bundle has evidence of %d bytes, expected 1 to %d", len(b.Evidence.Data), MaxEvidence)
	case len(b.Statement) == 0 || len(b.Statement) > MaxStatement:
		return fmt.Errorf("attest: bundle has a statement of %d bytes, expected 1 to %d", len(b.Statement), MaxStatement)
	case len(b.Policy) == 0 || len(b.Policy) > MaxPolicy:
		return fmt.Errorf("attest: bundle has a policy of %d bytes, expected 1 to %d", len(b.Policy), MaxPolicy)
	case len(b.AttestationKey) != 0 && len(b.AttestationKey) != 32:
		return fmt.Errorf("attest: bundle has an attestation key of %d bytes, expected 32 or none", len(b.AttestationKey))
	case len(b.Endorsements) > MaxEndorsements:
		return fmt.Errorf("attest: bundle has %d endorsements, limit %d", len(b.Endorsements), MaxEndorsements)
	}
	seen := make(map[string]bool, len(b.Endorsements))
	for _, e := range b.Endorsements {
		switch {
		case e.Label == "" || len(e.Label) > maxLabel:
			return fmt.Errorf("attest: endorsement label of %d bytes, expected 1 to %d", len(e.Label), maxLabel)
		case len(e.Data) == 0 || len(e.Data) > MaxEndorsement:
			return fmt.Errorf("attest: endorsement %q of %d bytes, expected 1 to %d", e.Label, len(e.Data), MaxEndorsement)
		case seen[e.Label]:
			return fmt.Errorf("attest: endorsement %q given twice", e.Label)
		}
		seen[e.Label] = true
	}
	return nil
}

const maxLabel = 64

// ParseBundle reads an encoded Bundle. The result shares memory with data.
// Nothing in it has been verified.
func ParseBundle(data []byte) (Bundle, error) {
	if len(data) > MaxBundle {
		return Bundle{}, fmt.Errorf("attest: bundle of %d bytes, limit %d", len(data), MaxBundle)
	}
	r := blob.NewReader("attest: bundle", data)
	r.Magic(bundleMagic)
	kindName := r.Blob(maxLabel)
	b := Bundle{
		Evidence:       Evidence{Data: r.Blob(MaxEvidence)},
		Statement:      r.Blob(MaxStatement),
		Policy:         r.Blob(MaxPolicy),
		AttestationKey: r.Blob(32),
	}
	for range r.Count(MaxEndorsements) {
		b.Endorsements = append(b.Endorsements, Endorsement{Label: string(r.Blob(maxLabel)), Data: r.Blob(MaxEndorsement)})
	}
	if err := r.End(); err != nil {
		return Bundle{}, err
	}
	kind, err := ParseKind(string(kindName))
	if err != nil {
		return Bundle{}, err
	}
	b.Evidence.Kind = kind
	if err := b.validate(); err != nil {
		return Bundle{}, err
	}
	return b, nil
}
