package device

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// evidenceNodes are the devices that sign for whoever can open them. The driver
// of the Nitro Security Module makes its own for everybody (drivers/misc/nsm.c),
// and distributions give TPMs to a group. Entries of configfs are root's.
func evidenceNodes() []string {
	return []string{nsmPath, tpmPath, "/dev/tpm0", "/dev/sev-guest", "/dev/tdx_guest", "/dev/tdx-guest"}
}

// Reserve takes this machine's evidence away from all but the owners of its
// devices, for a box that runs somebody's app: who can ask the hardware can have
// it sign a statement about a key of their own, and pose as the box. It is an
// error if that cannot be done. In an SGX enclave it cannot: Gramine gives every
// process of the enclave the same files, whoever it runs as.
func Reserve() error { return reserve("/") }

func reserve(root string) error {
	if _, err := os.Stat(filepath.Join(root, gramineDir)); !errors.Is(err, fs.ErrNotExist) {
		return unavailable(fmt.Errorf("%s is there for every process in the enclave, expected evidence that an app cannot ask for", gramineDir))
	}
	for _, node := range evidenceNodes() {
		if err := ownersOnly(filepath.Join(root, node)); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

func ownersOnly(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Perm()&0o077 == 0:
		return nil
	}
	return os.Chmod(path, 0o600)
}
