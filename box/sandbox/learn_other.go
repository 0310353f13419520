//go:build !linux

package sandbox

import "errors"

// Usage is what an app uses.
type Usage struct {
	Memory    int64
	PIDs      int
	OpenFiles int
}

// Loosen fails.
func (*App) Loosen(...string) error { return errors.ErrUnsupported }

// Usage fails.
func (*App) Usage() (Usage, error) { return Usage{}, errors.ErrUnsupported }
