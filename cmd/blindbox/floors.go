package main

import (
	"os"
	"path/filepath"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// floors opens the memory of what vendors' lists were seen: that of the user's
// cache, if there is one. Without it nil is returned, and no list counts as old.
func (s *session) floors() (f endorse.Floors, done func(), err error) {
	home, err := s.home()
	if err != nil {
		return nil, func() {}, nil // no home, no memory
	}
	dir := filepath.Join(home, "endorsements")
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil, func() {}, nil
	} else if err != nil {
		return nil, nil, fail(catalogue.CodeFile, "cache", err.Error(), "a directory that can be read")
	}
	d, err := s.openCache(dir)
	if err != nil {
		return nil, nil, err
	}
	return d, func() { _ = d.Close() }, nil
}

// withFloors adds the floors, if there are any, to the options of a client.
func (s *session) withFloors(opts ...client.Option) (all []client.Option, done func(), err error) {
	f, done, err := s.floors()
	if f != nil {
		opts = append(opts, client.WithFloors(f))
	}
	return opts, done, err
}

// raiseFloors notes what an accepted box stapled.
func raiseFloors(f endorse.Floors, c *attest.Claims, end attest.Endorsements) error {
	if f == nil {
		return nil
	}
	return endorse.RaiseFloors(f, c, end)
}
