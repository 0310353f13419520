package box

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/policy"
)

// enforced are the sections of a policy that this box makes true, by the names
// that policy.Policy.Demands has.
var enforced = []string{
	"app", "models", "models.batch", "store", "store.disk", // box/process, model, model/store
	"callers.api_key", "callers.certificate", "callers.oidc", "callers.anyone", "callers.expires", // box/callers
	"callers.attested",                                                                                              // box/peers, which needs a verifier
	"app.actions", "callers.may.query", "callers.may.observe", "callers.methods", "callers.paths", "callers.models", // policy.Decide,
	"cedar", "cedar.model", // asked by box/ingress
	"callers.rate", "callers.quota", // box/quota
	"limits.request", "limits.response", "limits.concurrent", "limits.time", "limits.idle", // box/ingress
	"logs.none", "logs.counters", "logs.sealed", "audit.host", // records, sealed
	"platforms",                                                                         // platform
	"operators.api_key", "operators.certificate", "operators.oidc", "operators.expires", // box/callers
}

// ofApps are those that hold for an app, from an image or not: there is nothing to
// restart and nothing that prints where the box runs models itself.
var ofApps = []string{"operators.restart", "operators.debug"} // box/operate

// ofContainers are those that hold for an app from an image.
var ofContainers = []string{
	"app.image", "app.isolation.gvisor", "app.user", "app.capabilities", "files.tmp", "files.writable", // box/sandbox
	"limits.memory", "limits.pids", "limits.cpu", "limits.open_files",
	"egress",                            // box/egress
	"services",                          // box/services.go
	"operators.exec", "operators.shell", // box/sandbox, box/operate
}

// mayPrefix begins the sections of what callers may do.
const mayPrefix = "callers.may."

func enforces(p *policy.Policy, section string) bool {
	deed, isDeed := strings.CutPrefix(section, mayPrefix)
	switch {
	case slices.Contains(enforced, section):
		return true
	case isDeed:
		return p.Addressed(policy.Action(deed))
	case (section == "operators.exec" || section == "operators.shell") && p.App != nil && p.App.Isolation == policy.IsolationGVisor:
		return false // commands in gVisor are gVisor's
	case p.App == nil:
		return section == "egress" // a model connects to nothing
	case slices.Contains(ofApps, section):
		return true
	default:
		return p.App.Image != "" && slices.Contains(ofContainers, section)
	}
}

// platform refuses hardware that the policy does not name; without names, what is
// simulated.
func platform(p *policy.Policy, k attest.Kind, simulation bool) error {
	switch {
	case slices.Contains(p.Platforms, k.String()), k.Simulated() && simulation:
		return nil
	case len(p.Platforms) == 0 && k.Simulated():
		return fmt.Errorf("box: this is %s, which is simulated, expected real hardware: the policy does not name it under platforms; nothing was started", k)
	case len(p.Platforms) == 0:
		return nil
	}
	return fmt.Errorf("box: this is %s, and the policy has platforms %s (line %d); nothing was started", k, strings.Join(p.Platforms, ", "), p.Line("platforms"))
}

// why says what is missing for a section, behind its line.
func why(p *policy.Policy, section string) string {
	switch {
	case !strings.HasPrefix(section, mayPrefix):
		return ""
	case p.App != nil:
		return ": no line of app.actions says which requests that is"
	}
	return ": models are those of the policy, and there is no address for it"
}

// enforceable refuses a policy that says more than this box enforces. A line
// that does nothing is worse than none: somebody relies on it.
func enforceable(p *policy.Policy) error {
	var left []string
	for _, d := range p.Demands() {
		if !enforces(p, d.Section) {
			left = append(left, fmt.Sprintf("%s (line %d%s)", d.Section, d.Line, why(p, d.Section)))
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("box: the policy has %s, which this version does not enforce; nothing was started: take the lines out, or use a version that enforces them", strings.Join(left, ", "))
}
