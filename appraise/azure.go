package appraise

import (
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// azureReferenceDoc is the section azure-sev-snp or azure-tdx of an entry of accept. This version
// reads no values there, so none can be accepted.
type azureReferenceDoc struct {
	Pos strictyaml.Pos
}

func (r *reader) azureReference(path string, _ attest.Kind, d *azureReferenceDoc) codeValues {
	r.fail(d.Pos, path, "this version accepts no such machine")
	return nil
}

// azureRulesDoc is the section hardware.azure.
type azureRulesDoc struct {
	Pos strictyaml.Pos
}

// azureRules are what a trust file says about such a machine.
type azureRules struct{}

func defaultAzure() azureRules { return azureRules{} }

func (r *reader) azureRules(path string, d *azureRulesDoc, _ *azureRules) {
	r.fail(d.Pos, path, "this version accepts no such machine")
}

// fields are the keys that differ from the defaults.
func (azureRules) fields() []field { return nil }
