// Package vector reads the language-neutral cases of vectors/cases and answers
// them.
//
// It answers one question: what does this library say to a case? The test of the
// vectors asks it natively, and the WebAssembly build of the verifiers asks it in
// a JavaScript engine, so that both are held to the same files. It stands on the
// relying party's side; the case itself is the caller's own, the evidence in it is
// a stranger's.
package vector

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// Input is the file input.json of a case.
type Input struct {
	Kind         string        `json:"kind"`
	Verifier     string        `json:"verifier,omitempty"` // the kind that is expected, if another
	Evidence     string        `json:"evidence"`           // base64, or "blob:NAME"
	Endorsements []Endorsement `json:"endorsements,omitempty"`
	// Roots are what the relying party trusts, none for the vendor's own; in the
	// order of the README.
	Roots []string `json:"roots,omitempty"`
	Pins  []string `json:"pins,omitempty"`  // names of TPM attestation keys, hex
	At    string   `json:"at"`              // RFC 3339
	Trust string   `json:"trust,omitempty"` // a trust file: the case is decided by appraisal
}

// Endorsement is one labelled object.
type Endorsement struct {
	Label string `json:"label"`
	Data  string `json:"data"` // base64, or "blob:NAME"
}

// Expected is the file expected.json of a case.
type Expected struct {
	Row     string      `json:"row"`
	About   string      `json:"about"`
	Spec    string      `json:"spec"`
	Stage   string      `json:"stage"` // who refuses: verify, appraise or none
	Verdict string      `json:"verdict"`
	Check   string      `json:"check,omitempty"`
	Code    attest.Code `json:"code,omitempty"`
}

// Answer is what a verifier says to a case.
type Answer struct {
	Verdict string         `json:"verdict"` // accepted or refused
	Checks  []attest.Check `json:"checks"`
}

// The verdicts.
const (
	Accepted = "accepted"
	Refused  = "refused"
)

// Case is an Input with its parts decoded.
type Case struct {
	Evidence     attest.Evidence
	Verifier     attest.Kind
	Endorsements attest.Endorsements
	Roots, Pins  [][]byte
	At           time.Time
	Trust        string
}

const (
	blobPrefix = "blob:"
	maxInput   = 4 << 20 // bytes of a case: the largest bundle in base64, with room for its roots
)

// Read decodes an Input; blob returns the content of a part that several cases share.
func Read(text []byte, blob func(name string) ([]byte, error)) (*Case, error) {
	var in Input
	if err := strictjson.Decode(text, &in, strictjson.Options{Limits: strictjson.Limits{Bytes: maxInput}}); err != nil {
		return nil, fmt.Errorf("vector: %w", err)
	}
	at, err := time.Parse(time.RFC3339, in.At)
	d := decoder{blob: blob, err: err}
	c := &Case{At: at, Trust: in.Trust, Evidence: attest.Evidence{Data: d.bytes(in.Evidence)}}
	c.Evidence.Kind, d.err = kindOf(in.Kind, d.err)
	c.Verifier = c.Evidence.Kind
	if in.Verifier != "" {
		c.Verifier, d.err = kindOf(in.Verifier, d.err)
	}
	for _, e := range in.Endorsements {
		c.Endorsements = append(c.Endorsements, attest.Endorsement{Label: e.Label, Data: d.bytes(e.Data)})
	}
	for _, r := range in.Roots {
		c.Roots = append(c.Roots, d.bytes(r))
	}
	for _, p := range in.Pins {
		c.Pins = append(c.Pins, d.bytes(p))
	}
	if d.err != nil {
		return nil, d.err
	}
	return c, nil
}

func kindOf(name string, before error) (attest.Kind, error) {
	kind, err := attest.ParseKind(name)
	return kind, errors.Join(before, err)
}

// decoder remembers the first error.
type decoder struct {
	blob func(name string) ([]byte, error)
	err  error
}

func (d *decoder) bytes(text string) []byte {
	var out []byte
	var err error
	if len(text) > len(blobPrefix) && text[:len(blobPrefix)] == blobPrefix {
		out, err = d.blob(text[len(blobPrefix):])
	} else {
		out, err = base64.StdEncoding.DecodeString(text)
	}
	if d.err == nil && err != nil {
		d.err = fmt.Errorf("vector: %w", err)
	}
	return out
}

// Verify answers a case up to and including the Verifier; a trust file is not
// looked at.
func (c *Case) Verify() (*attest.Claims, error) {
	v, err := c.verifier()
	if err != nil {
		return nil, fmt.Errorf("vector: no verifier: %w", err)
	}
	return v.Verify(c.Evidence, c.Endorsements, c.At)
}

// AnswerOf puts the outcome of a Verifier into words.
func AnswerOf(claims *attest.Claims, err error) Answer {
	var refused *attest.Failure
	switch {
	case errors.As(err, &refused):
		return Answer{Verdict: Refused, Checks: refused.Checks}
	case err != nil:
		return Answer{Verdict: Refused, Checks: []attest.Check{{Name: "hardware.evidence", Code: attest.CodeMalformed, Seen: err.Error()}}}
	}
	return Answer{Verdict: Accepted, Checks: claims.Checks}
}
