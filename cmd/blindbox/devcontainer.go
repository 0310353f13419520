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
	if p.App == nil || p.App.Image == "" {
		return nil, func() {}, nil
	}
	if uid != 0 {
		return nil, nil, fail(catalogue.CodeApp, "box", "app.image: an image runs in a container, and this is not root",
			"root on Linux; an app with a command instead of an image runs without, and unconfined")
	}
	images, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, nil, fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	dir, remove, err := s.devPlace(devMemory)
	if err != nil {
		return nil, nil, fail(catalogue.CodeApp, "box", err.Error(), "a folder in memory at /dev/shm, as Linux has")
	}
	c = &devContainer{Containers: box.Containers{Images: images, Dir: filepath.Join(dir, "box"), Runtime: findRuntime("runc"), GVisor: findRuntime("runsc")}}
	c.Unenforced = func(line string) { c.notEnforced = append(c.notEnforced, line) }
	c.Refused = s.refusedEgress
	return c, remove, nil
}

// less is what the box does not enforce of its policy, never nil.
func (c *devContainer) less() []string {
	if c == nil || c.notEnforced == nil {
		return []string{}
	}
	return c.notEnforced
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
