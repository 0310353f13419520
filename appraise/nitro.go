package appraise

import (
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// nitroReferenceDoc is the section nitro of an entry of accept. This version
// reads no values there, so none can be accepted.
type nitroReferenceDoc struct {
	Pos strictyaml.Pos
}

func (r *reader) nitroReference(path string, d *nitroReferenceDoc) codeValues {
	r.fail(d.Pos, path, "this version accepts no such machine")
	return nil
}

// nitroRulesDoc is the section hardware.nitro.
type nitroRulesDoc struct {
	Pos strictyaml.Pos
}

// nitroRules are what a trust file says about such a machine.
type nitroRules struct{}

func defaultNitro() nitroRules { return nitroRules{} }

func (r *reader) nitroRules(path string, d *nitroRulesDoc, _ *nitroRules) {
	r.fail(d.Pos, path, "this version accepts no such machine")
}

// fields are the keys that differ from the defaults.
func (nitroRules) fields() []field { return nil }
