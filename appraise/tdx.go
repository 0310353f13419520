package appraise

import (
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// tdxReferenceDoc is the section tdx of an entry of accept. This version
// reads no values there, so none can be accepted.
type tdxReferenceDoc struct {
	Pos strictyaml.Pos
}

func (r *reader) tdxReference(path string, d *tdxReferenceDoc) codeValues {
	r.fail(d.Pos, path, "this version accepts no such machine")
	return nil
}

// tdxRulesDoc is the section hardware.tdx.
type tdxRulesDoc struct {
	Pos strictyaml.Pos
}

// tdxRules are what a trust file says about such a machine.
type tdxRules struct{}

func defaultTDX() tdxRules { return tdxRules{} }

func (r *reader) tdxRules(path string, d *tdxRulesDoc, _ *tdxRules) {
	r.fail(d.Pos, path, "this version accepts no such machine")
}

// fields are the keys that differ from the defaults.
func (tdxRules) fields() []field { return nil }
