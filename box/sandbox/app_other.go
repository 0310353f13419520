//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"net"
)

// App is an app in a container, which this system does not have.
type App struct{}

// New refuses: containers are the Linux kernel's.
func New(Config) (*App, error) {
	return nil, errors.New("sandbox: this system has no containers: an app from an image runs on Linux only")
}

// Keep does nothing: there are no keepers.
func Keep([]string) {}

// Notes is empty.
func (*App) Notes() []string { return nil }

// Unenforced is empty.
func (*App) Unenforced() []string { return nil }

// Accepting is false.
func (*App) Accepting() bool { return false }

// Start fails.
func (*App) Start(context.Context) error { return errors.ErrUnsupported }

// Stop does nothing.
func (*App) Stop() {}

// Dial fails.
func (*App) Dial(context.Context) (net.Conn, error) { return nil, errors.ErrUnsupported }

// Clear fails.
func Clear(string) error { return errors.ErrUnsupported }
