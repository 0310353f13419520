package box

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/policy"
)

// enforced are the sections of a policy that this box makes true, by the names
// that policy.Policy.Demands has.
var enforced = []string{
	"app", "models", // box/process, model
	"callers.api_key", "callers.certificate", "callers.oidc", "callers.anyone", "callers.expires", // box/callers
	"callers.may.query", "callers.may.observe", "callers.methods", "callers.paths", "callers.models", // policy.Decide,
	"cedar", "cedar.model", // asked by box/ingress
	"callers.rate", "callers.quota", // box/quota
	"limits.request", "limits.response", "limits.concurrent", "limits.time", "limits.idle", // box/ingress
	"logs.none", "logs.counters",
}

// enforceable refuses a policy that says more than this box enforces. A line
// that does nothing is worse than none: somebody relies on it.
func enforceable(p *policy.Policy) error {
	var left []string
	for _, d := range p.Demands() {
		if !slices.Contains(enforced, d.Section) {
			left = append(left, fmt.Sprintf("%s (line %d)", d.Section, d.Line))
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("box: the policy has %s, which this version does not enforce; nothing was started: take the lines out, or use a version that enforces them", strings.Join(left, ", "))
}
