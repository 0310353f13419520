package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/policy"
)

// operable is an app that operators can do something to.
type operable interface {
	Restart(context.Context) error
	Processes() ([]int, error)
}

// operating makes what operators may do. nil means that the policy has none.
func (b *Box) operating() (*ingress.Operators, error) {
	if len(b.policy.Operators) == 0 {
		return nil, nil
	}
	who, err := callers.New(callers.Config{Policy: b.policy.ForOperators(), Now: time.Now, Uptime: b.uptime, Client: b.cfg.Identity})
	if err != nil {
		return nil, fmt.Errorf("box: operators: %w", err)
	}
	app, ok := b.app.(operable)
	if !ok {
		return nil, errors.New("box: the policy has operators, and there is no app")
	}
	cfg := operate.Config{Restart: app.Restart, Processes: app.Processes, Tap: b.tap}
	if c, ok := b.app.(*container); ok {
		cfg.Exec = c.exec
	}
	return &ingress.Operators{Callers: who, Service: operate.New(cfg)}, nil
}

// tapped is where the app prints to: through a tap if an operator may read it.
func (b *Box) tapped(to io.Writer) io.Writer {
	if !slices.Contains(b.policy.Operations(), policy.OpDebug) {
		return to
	}
	b.tap = operate.NewTap(to)
	return b.tap
}

// operatorCertificates reports whether an operator is known by a certificate.
func (b *Box) operatorCertificates() bool {
	return b.operators != nil && b.operators.Callers.NeedsCertificates()
}

// endOperations ends what operators are at.
func (b *Box) endOperations() {
	if b.operators != nil {
		b.operators.Service.Stop()
	}
}

var errNotStarted = errors.New("the app was not started")

// Restart starts the app anew. The services stay.
func (c *container) Restart(ctx context.Context) error {
	app := c.app.Load()
	if app == nil {
		return errNotStarted
	}
	return app.Restart(ctx)
}

// Processes are those of the app.
func (c *container) Processes() ([]int, error) {
	app := c.app.Load()
	if app == nil {
		return nil, errNotStarted
	}
	return app.Processes()
}

// exec runs a command beside the app.
func (c *container) exec(args []string, t *operate.Terminal) (*operate.Running, error) {
	app := c.app.Load()
	if app == nil {
		return nil, errNotStarted
	}
	var terminal *sandbox.Terminal
	if t != nil {
		terminal = &sandbox.Terminal{Kind: t.Kind, Rows: t.Rows, Columns: t.Columns}
	}
	cmd, err := app.Exec(args, terminal)
	if err != nil {
		return nil, err
	}
	out := &operate.Running{Input: cmd.Input, Output: cmd.Output, Resize: cmd.Resize, Gone: cmd.Gone(), Code: cmd.Code, Kill: cmd.Kill}
	if cmd.Errors != nil {
		out.Errors = cmd.Errors
	}
	if t != nil {
		out.Input = keyboard{cmd.Input}
	}
	return out, nil
}

// keyboard is a terminal's end that input goes to. Closed it would take the output
// with it; what a person does instead is to press Control-D.
type keyboard struct{ io.Writer }

// Close says that there is no more. Behind a line that was begun, the first only ends
// the line.
func (k keyboard) Close() error {
	const endOfTransmission = 4 // ASCII
	_, err := k.Write([]byte{endOfTransmission, endOfTransmission})
	return err
}

// hasShell reports whether the app's place has terminals.
func hasShell(p *policy.Policy) bool { return slices.Contains(p.Operations(), policy.OpShell) }
