//go:build !linux

package egress

import (
	"context"
	"errors"
	"net"
)

// NewNamespace is for Linux only: elsewhere nothing can be enforced.
func NewNamespace(Plan) (*Namespace, error) {
	return nil, &NotEnforcedError{errors.New("networks of an app's own are a matter of Linux")}
}

// Namespace is a network of the app's own.
type Namespace struct{ listeners Listeners }

// Path is empty.
func (n *Namespace) Path() string { return "" }

// PathOf is empty.
func (n *Namespace) PathOf(int) string { return "" }

// Rewire fails.
func (n *Namespace) Rewire(int) error { return errors.New("egress: no namespace") }

// DialContext fails.
func (n *Namespace) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("egress: no namespace")
}

// Close does nothing.
func (n *Namespace) Close() error { return nil }
