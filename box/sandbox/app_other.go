//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
)

// App is an app in a container, which this system does not have.
type App struct{}

// New refuses: containers are the Linux kernel's.
func New(Config) (*App, error) {
	return nil, errors.New("sandbox: this system has no containers: an app from an image runs on Linux only")
}

// Hides fails.
func Hides(root, folder string) (string, error) { return "", errors.ErrUnsupported }

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

// Restart fails.
func (*App) Restart(context.Context) error { return errors.ErrUnsupported }

// Processes fails.
func (*App) Processes() ([]int, error) { return nil, errors.ErrUnsupported }

// Exec fails.
func (*App) Exec([]string, *Terminal) (*Command, error) { return nil, errors.ErrUnsupported }

// Command is a program beside an app, which there is not.
type Command struct {
	Input          io.WriteCloser
	Output, Errors io.ReadCloser
}

// Resize does nothing.
func (*Command) Resize(uint16, uint16) error { return nil }

// Gone is nil.
func (*Command) Gone() <-chan struct{} { return nil }

// Code is that of a command that could not be started.
func (*Command) Code() int { return 255 }

// Kill does nothing.
func (*Command) Kill() {}
