package appraise

import (
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// gpuRulesDoc is the section hardware.gpu: which devices must be beside the
// processor, and what they must run.
type gpuRulesDoc struct {
	Pos strictyaml.Pos
}

// gpuRules are what a trust file says about the GPUs and switches of a machine.
type gpuRules struct{}

func (r *reader) gpuRules(path string, d *gpuRulesDoc) *gpuRules {
	r.fail(d.Pos, path, "this version accepts no devices beside a processor")
	return &gpuRules{}
}

// fields are all keys, so that a section that is there stays there.
func (*gpuRules) fields() []field { return nil }

// judge makes every check on the devices. There is at least one, each is of a
// kind for which attest.Kind.Device holds, and part N of the claims is checked
// under names from partCheck(GroupHardware, N, ...). Whether each proves the
// statement, and when its certificates are valid, was looked at already.
func (*gpuRules) judge(a *appraisal, parts []*attest.Claims) {
	a.fail("hardware.gpu", CodeParts, partsText(parts), "devices that this version can judge")
}

// gpus fits rules to the devices of a machine that is there.
func (u *firstUse) gpus(_ []*attest.Claims) *gpuRules { return nil }
