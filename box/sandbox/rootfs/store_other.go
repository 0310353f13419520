//go:build !linux

package rootfs

import (
	"errors"

	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// Config says where trees are kept.
type Config struct {
	Dir          string
	Shift        uint32
	OneOwner     bool
	Limits       Limits
	InsecureDisk bool
}

// Store keeps the trees of images.
type Store struct{}

// Tree is an unpacked image.
type Tree struct {
	Path   string
	Report Report
}

// NewStore refuses: names are resolved by the Linux kernel.
func NewStore(cfg Config) (*Store, error) {
	if err := cfg.Limits.valid(); err != nil {
		return nil, err
	}
	return nil, errors.New("rootfs: images are unpacked on Linux only")
}

// Get fails.
func (*Store) Get(*oci.Image) (*Tree, error) { return nil, errors.ErrUnsupported }

// InMemory refuses: what a file system is, is asked of Linux only.
func InMemory(string) error { return errors.ErrUnsupported }
