package main

import (
	"os/exec"
	"path/filepath"

	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

// devContainer is where dev runs an app from an image; nil if it is none.
type devContainer struct {
	box.Containers
	notEnforced []string // lines of the policy, with the reason; complete when the box serves
}

// contain makes the place for the app of a policy from a file. remove takes it
// away again.
func (s *session) contain(p *policy.Policy, file string, uid int) (c *devContainer, remove func(), err error) {
	if !isContained(p) {
		return nil, func() {}, nil
	}
	if uid != 0 {
		return nil, nil, needsRoot("this is not root")
	}
	images, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, nil, fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	dir, remove, err := s.devPlace(devMemory)
	if err != nil {
		return nil, nil, fail(catalogue.CodeApp, "box", err.Error(), "a folder in memory at /dev/shm, as Linux has")
	}
	c = &devContainer{Containers: box.Containers{Images: images, Dir: filepath.Join(dir, "box"), Runtime: findRuntime("runc"), GVisor: s.runsc()}}
	c.Unenforced = func(line string) { c.notEnforced = append(c.notEnforced, line) }
	c.Refused = s.refusedEgress
	c.OneUser = inUserNamespace()
	return c, remove, nil
}

func isContained(p *policy.Policy) bool { return p.App != nil && p.App.Image != "" }

// needsRoot refuses an image where no container can be made.
func needsRoot(why string) *refusal {
	return fail(catalogue.CodeApp, "box", "app.image: an image runs in a container, and "+why,
		"root on Linux, or a kernel that lets users make namespaces (user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns); "+
			"an app with a command instead of an image runs without, and unconfined")
}

// less is what the box does not enforce of its policy, never nil.
func (c *devContainer) less() []string {
	if c == nil || c.notEnforced == nil {
		return []string{}
	}
	return c.notEnforced
}

// runsc returns the path of gVisor's, "" if there is none.
func (s *session) runsc() string {
	if s.env != nil {
		if named := s.env("BLINDBOX_RUNSC"); named != "" {
			return named
		}
	}
	return findRuntime("runsc")
}

// findRuntime returns the path of a program, "" if there is none.
func findRuntime(name string) string {
	program, err := exec.LookPath(name)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return ""
	}
	return program
}

// refusedEgress tells the developer what the app was refused.
func (s *session) refusedEgress(e egress.Event) {
	if e.Host == "" {
		s.note("egress: refused: %s (%d)\n", e.Reason, e.Count)
		return
	}
	s.note("egress: refused: %s, %s port %d, line %d of the policy (%d)\n", e.Reason, oneLine(e.Host), e.Port, e.Line, e.Count)
}
