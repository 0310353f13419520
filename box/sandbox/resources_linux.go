package sandbox

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// controllers are the resources that the machine's cgroups can bound.
type controllers struct {
	memory, pids, cpu bool
	swap              bool // there is swap, and it can be bounded
	swapOn            bool // there is swap
}

// notEnforced begins what is told about a limit that does not hold.
const notEnforced = "NOT ENFORCED: "

// resources are the app's limits. One that cannot be enforced is left out, and
// told: the runtime would ignore some of them without a word.
func (c *Config) resources(has controllers) (*specs.LinuxResources, []string) {
	var missing []string
	lacks := func(limit, controller string) {
		missing = append(missing, fmt.Sprintf(notEnforced+"%s: this machine has no %s controller of cgroups", limit, controller))
	}
	r := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
	if !has.memory {
		lacks(fmt.Sprintf("limits.memory %d", c.Limits.Memory), "memory")
	} else {
		limit := c.Limits.Memory
		r.Memory = &specs.LinuxMemory{Limit: &limit}
		switch {
		case has.swapOn && has.swap:
			r.Memory.Swap = &limit // memory and swap together
		case has.swapOn:
			missing = append(missing, notEnforced+"limits.memory leaves out swap, which this machine has: what the app holds can go to a disk")
		}
	}
	if !has.pids {
		lacks(fmt.Sprintf("limits.pids %d", c.Limits.Pids), "pids")
	} else {
		limit := c.Limits.Pids
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	if c.Limits.CPU > 0 && !has.cpu {
		lacks(fmt.Sprintf("limits.cpu %g", c.Limits.CPU), "cpu")
	} else if c.Limits.CPU > 0 {
		period := uint64(100000) // microseconds, the kernel's own default
		quota := int64(c.Limits.CPU * float64(period))
		r.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	return r, missing
}
