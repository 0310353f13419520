package main

import (
	"os"
	"path/filepath"

	"github.com/blindbox/blindbox/attest"
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

// aboveFloors refuses claims that rest on a list older than one that was seen.
func aboveFloors(f endorse.Floors, c *attest.Claims, err error, end attest.Endorsements) (*attest.Claims, error) {
	if f == nil || err != nil {
		return c, err
	}
	c.Checks = append(c.Checks[:len(c.Checks):len(c.Checks)], endorse.CheckFloors(f, c, end)...)
	if err := attest.FailureOf(c.Checks); err != nil {
		return nil, err
	}
	return c, nil
}

// raiseFloors notes what an accepted box stapled.
func raiseFloors(f endorse.Floors, c *attest.Claims, end attest.Endorsements) error {
	if f == nil {
		return nil
	}
	return endorse.RaiseFloors(f, c, end)
}
