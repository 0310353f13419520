package store

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest is SHA-256 over a model's file. It is a model's id.
type Digest [32]byte

// String is the id as it is written everywhere: "sha256:" and 64 hex digits.
func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// IsZero says that there is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// ParseDigest reads an id. "sha256-", which needs no escape in a URL's path, is the
// same as "sha256:".
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(strings.Replace(s, "sha256-", "sha256:", 1), "sha256:")
	if !ok || len(digits) != 2*len(d) || strings.ToLower(digits) != digits {
		return Digest{}, fmt.Errorf("store: id %.80q, expected sha256: and %d hex digits in lower case", s, 2*len(d))
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, fmt.Errorf("store: id %.80q: %w", s, err)
	}
	return d, nil
}
