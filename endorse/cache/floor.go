package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
)

// A floor is a directory whose empty files are named by the numbers that were
// seen, 40 hex digits each. The highest counts. Adding one is a single atomic
// step and removing a lower one changes nothing, so processes need no lock.

// numberSize is the longest number in bytes (RFC 5280, 5.2.3).
const numberSize = 20

// maxFloorFiles bounds what is read of one floor.
const maxFloorFiles = 1024

// Floor returns the highest number that was seen of a series; nil if there is
// none. A floor that cannot be read is an error: it must not count as none.
func (d *Dir) Floor(series string) (*big.Int, error) {
	names, err := d.floorFiles(floorDir(series))
	if err != nil {
		return nil, err
	}
	var highest *big.Int
	for _, name := range names {
		if n, ok := parseNumber(name); ok && (highest == nil || n.Cmp(highest) > 0) {
			highest = n
		}
	}
	if highest == nil && len(names) != 0 {
		return nil, fmt.Errorf("cache: the floor of %s is damaged: none of %d names is a number; nothing is accepted until %s is removed", series, len(names), floorDir(series))
	}
	return highest, nil
}

// Raise notes that number was seen. A number below the floor changes nothing.
func (d *Dir) Raise(series string, number *big.Int) error {
	if series == "" || number == nil || number.Sign() < 0 || len(number.Bytes()) > numberSize {
		return errors.New("cache: a floor needs a series and a number of 0 to 20 bytes")
	}
	floor, err := d.Floor(series)
	if err != nil || (floor != nil && number.Cmp(floor) <= 0) {
		return err
	}
	dir := floorDir(series)
	if err := d.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cache: %w", err)
	}
	f, err := d.root.OpenFile(dir+"/"+formatNumber(number), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	return d.prune(dir)
}

// prune removes numbers below the two highest. Two stay because a listing that
// runs meanwhile may miss the one that was just made: it then still finds the
// one before.
func (d *Dir) prune(dir string) error {
	names, err := d.floorFiles(dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { _, ok := parseNumber(name); return !ok })
	slices.Sort(names) // of one length, so in the order of their numbers
	for _, name := range names[:max(len(names)-2, 0)] {
		_ = d.root.Remove(dir + "/" + name)
	}
	return nil
}

func floorDir(series string) string { return "floors/" + nameOf([]byte(series)) }

func (d *Dir) floorFiles(dir string) ([]string, error) {
	files, err := d.list(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(files) > maxFloorFiles {
		return nil, fmt.Errorf("cache: %d files in %s, limit %d", len(files), dir, maxFloorFiles)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name()
	}
	return names, nil
}

func formatNumber(n *big.Int) string {
	return hex.EncodeToString(n.FillBytes(make([]byte, numberSize)))
}

func parseNumber(name string) (*big.Int, bool) {
	raw, err := hex.DecodeString(name)
	if err != nil || len(raw) != numberSize || hex.EncodeToString(raw) != name {
		return nil, false
	}
	return new(big.Int).SetBytes(raw), true
}
