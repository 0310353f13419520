package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// GrantableCapabilities are those that a policy can give. They reach no further
// than the app's own users, files and ports. The rest would reach the kernel.
func GrantableCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
		"CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

func (c *Config) checkCapabilities() error {
	var err error
	for i, name := range c.Capabilities {
		if !slices.Contains(GrantableCapabilities(), name) {
			err = errors.Join(err, fmt.Errorf("sandbox: capability %.40q, expected one of %s", name, strings.Join(GrantableCapabilities(), " ")))
		}
		if slices.Contains(c.Capabilities[:i], name) {
			err = errors.Join(err, fmt.Errorf("sandbox: capability %s twice", name))
		}
	}
	return err
}

// capabilities gives the listed ones to a user that is not root too: those of
// the ambient set outlast the start of the program (capabilities(7)).
func (c *Config) capabilities() *specs.LinuxCapabilities {
	list := append([]string{}, c.Capabilities...)
	return &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list, Inheritable: list, Ambient: list}
}

// lowPorts reports whether the app may listen below 1024. Its network namespace
// belongs to nobody inside, so the capability alone would not do.
func (c *Config) lowPorts() bool { return slices.Contains(c.Capabilities, "CAP_NET_BIND_SERVICE") }
