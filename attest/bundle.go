package attest

import (
	"encoding/binary"
	"fmt"
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
	out = appendBlob(out, []byte(b.Evidence.Kind.String()))
	out = appendBlob(out, b.Evidence.Data)
	out = appendBlob(out, b.Statement)
	out = appendBlob(out, b.Policy)
	out = appendBlob(out, b.AttestationKey)
	out = append(out, byte(len(b.Endorsements)))
	for _, e := range b.Endorsements {
		out = appendBlob(out, []byte(e.Label))
		out = appendBlob(out, e.Data)
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

func appendBlob(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

// ParseBundle reads an encoded Bundle. The result shares memory with data.
// Nothing in it has been verified.
func ParseBundle(data []byte) (Bundle, error) {
	if len(data) > MaxBundle {
		return Bundle{}, fmt.Errorf("attest: bundle of %d bytes, limit %d", len(data), MaxBundle)
	}
	r := blobReader{rest: data}
	r.magic(bundleMagic)
	kindName := r.blob(maxLabel)
	b := Bundle{
		Evidence:       Evidence{Data: r.blob(MaxEvidence)},
		Statement:      r.blob(MaxStatement),
		Policy:         r.blob(MaxPolicy),
		AttestationKey: r.blob(32),
	}
	for range r.count(MaxEndorsements) {
		b.Endorsements = append(b.Endorsements, Endorsement{Label: string(r.blob(maxLabel)), Data: r.blob(MaxEndorsement)})
	}
	if err := r.end(); err != nil {
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

// blobReader reads length-prefixed parts and remembers the first error, so
// that a parser reads as a list of its fields.
type blobReader struct {
	rest []byte
	off  int
	err  error
}

func (r *blobReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("attest: bundle malformed at byte %d: %s", r.off, fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

func (r *blobReader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail("%d bytes wanted, %d left", n, len(r.rest))
		return nil
	}
	v := r.rest[:n:n]
	r.rest, r.off = r.rest[n:], r.off+n
	return v
}

func (r *blobReader) magic(want string) {
	if got := r.take(len(want)); r.err == nil && string(got) != want {
		r.off = 0
		r.fail("begins with %q, expected %q", got, want)
	}
}

func (r *blobReader) blob(limit int) []byte {
	head := r.take(4)
	if r.err != nil {
		return nil
	}
	n := binary.BigEndian.Uint32(head)
	if n > uint32(limit) {
		r.fail("a part of %d bytes, limit %d", n, limit)
		return nil
	}
	return r.take(int(n))
}

func (r *blobReader) count(limit int) int {
	head := r.take(1)
	if r.err != nil {
		return 0
	}
	if int(head[0]) > limit {
		r.fail("%d items, limit %d", head[0], limit)
		return 0
	}
	return int(head[0])
}

func (r *blobReader) end() error {
	if r.err == nil && len(r.rest) != 0 {
		r.fail("%d bytes after the end", len(r.rest))
	}
	return r.err
}
