package appraise

import (
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// sgxReferenceDoc is the section sgx of an entry of accept. This version
// reads no values there, so none can be accepted.
type sgxReferenceDoc struct {
	Pos strictyaml.Pos
}

func (r *reader) sgxReference(path string, d *sgxReferenceDoc) codeValues {
	r.fail(d.Pos, path, "this version accepts no such machine")
	return nil
}

// sgxRulesDoc is the section hardware.sgx.
type sgxRulesDoc struct {
	Pos strictyaml.Pos
}

// sgxRules are what a trust file says about such a machine.
type sgxRules struct{}

func defaultSGX() sgxRules { return sgxRules{} }

func (r *reader) sgxRules(path string, d *sgxRulesDoc, _ *sgxRules) {
	r.fail(d.Pos, path, "this version accepts no such machine")
}

// fields are the keys that differ from the defaults.
func (sgxRules) fields() []field { return nil }
