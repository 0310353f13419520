// Package policy answers one question: what may this box do, and for whom?
//
// A policy is one document, box.yaml. It names what runs, who may call it and
// do what, where the app may connect to, and within which limits. Its digest is
// SHA-256 over its exact bytes: what is hashed is what is parsed, decided by and
// shown to people; there is no other form. The digest is bound at launch and in
// every statement, and a running box never changes its policy.
//
// Everything is denied unless a line of the document allows it. Who may do what
// is compiled to Cedar, and Cedar may be added to it; see [Policy.Decide]. The
// other sections are read, explained and compared here and enforced elsewhere in
// the box. A box that does not enforce a section must not start under a policy
// that has it, so that nobody relies on a line that does nothing:
// [Policy.Demands] lists what has to be enforced.
//
// The package stands inside the box, where it decides, and with the relying
// party, who reads the same document with the same code to see what would be
// decided. The document comes from a stranger there.
package policy

import (
	"bytes"
	"crypto/sha256"
)

// MaxSize is the largest policy document in bytes.
const MaxSize = 64 << 10

// Policy is a parsed document. It must not be changed after [Parse]. The zero
// Policy denies everything.
type Policy struct {
	// Name is for people; nothing is decided by it.
	Name string
	// Either App is set, or Models is not empty, or Store is set, or both of these.
	App    *App
	Models []Model
	// Store is where callers put models of their own; nil means that they cannot.
	Store *Store
	// Services run beside App, and are none without one from an image.
	Services []Service
	// Callers may be empty: nobody may call then.
	Callers []Caller
	// Cedar is what the document adds to the callers in the Cedar language, ""
	// for nothing. [Policy.Decide] has it compiled.
	Cedar  string
	Egress Egress
	Files  Files
	Limits Limits
	Logs   Logs
	Audit  Audit
	// Operators may do something to the running box; nobody else may.
	Operators []Operator
	// Platforms are the kinds of hardware that the box may run on, by the names
	// that attest.Kind has. Empty means any real one.
	Platforms []string

	doc      []byte
	digest   [sha256.Size]byte
	lines    map[string]int
	compiled *compiled
}

// Bytes returns a copy of the exact document.
func (p *Policy) Bytes() []byte { return bytes.Clone(p.doc) }

// Digest returns SHA-256 over the exact document.
func (p *Policy) Digest() [sha256.Size]byte { return p.digest }

// Line returns the line of the document on which the value with this path
// begins, such as "egress.allow[0]" or "limits.memory", and 0 if the document
// does not have it.
func (p *Policy) Line(path string) int { return p.lines[path] }
