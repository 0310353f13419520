package box

import (
	"path"

	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/sandbox"
)

// Learning watches what an app from an image does, so that a policy can be made of
// it. The app may write to all of its own files then. It is for `blindbox policy
// learn`, on a developer's own machine and with the developer's own requests; no box
// that is one has it. All fields are required.
type Learning struct {
	// Folders are made in the app's tree if they are missing.
	Folders []string
	// Attempt is told each place that the app tries to connect to. What it may reach
	// is the policy's all the same.
	Attempt func(egress.Attempt)
	// Begin is called before the app is started, with the path of its tree, and
	// returns what is called after the app was ended.
	Begin func(tree string, usage func() (sandbox.Usage, error)) (end func())
}

// learn opens the app's tree and has Begin watch it.
func (c *container) learn(app *sandbox.App, tree string) error {
	l := c.cfg.Learning
	if l == nil {
		return nil
	}
	folders := append([]string{"/tmp"}, l.Folders...)
	for i, f := range folders {
		folders[i] = path.Clean(f)
	}
	if err := app.Loosen(folders...); err != nil {
		return err
	}
	c.later(l.Begin(tree, app.Usage))
	return nil
}
