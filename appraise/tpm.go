package appraise

import (
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// tpmReferenceDoc is the section tpm of an entry of accept. This version
// reads no values there, so none can be accepted.
type tpmReferenceDoc struct {
	Pos strictyaml.Pos
}

func (r *reader) tpmReference(path string, d *tpmReferenceDoc) codeValues {
	r.fail(d.Pos, path, "this version accepts no such machine")
	return nil
}

// tpmRulesDoc is the section hardware.tpm.
type tpmRulesDoc struct {
	Pos strictyaml.Pos
}

// tpmRules are what a trust file says about such a machine.
type tpmRules struct{}

func defaultTPM() tpmRules { return tpmRules{} }

func (r *reader) tpmRules(path string, d *tpmRulesDoc, _ *tpmRules) {
	r.fail(d.Pos, path, "this version accepts no such machine")
}

// fields are the keys that differ from the defaults.
func (tpmRules) fields() []field { return nil }
