package appraise

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// The types in this file are the single values of a trust file. Each is read
// from the scalar as it is written, so that a digest of digits alone needs no
// quotes, and each refuses what is not exactly one thing.

// fixedHex reads exactly n bytes of lower-case hex that are not all zero. Zero
// is what an expectation looks like that was never set.
func fixedHex(text []byte, n int) ([]byte, error) {
	if len(text) != 2*n {
		return nil, fmt.Errorf("expected %d hex digits, not %d", 2*n, len(text))
	}
	if strings.ToLower(string(text)) != string(text) {
		return nil, fmt.Errorf("expected lower-case hex")
	}
	out, err := hex.DecodeString(string(text))
	if err != nil {
		return nil, fmt.Errorf("expected %d hex digits", 2*n)
	}
	if !slices.ContainsFunc(out, func(b byte) bool { return b != 0 }) {
		return nil, fmt.Errorf("expected a value that is not all zero")
	}
	return out, nil
}

type hex48 [48]byte

func (h *hex48) UnmarshalText(text []byte) error {
	v, err := fixedHex(text, len(h))
	copy(h[:], v)
	return err
}

type hex64 [64]byte

func (h *hex64) UnmarshalText(text []byte) error {
	v, err := fixedHex(text, len(h))
	copy(h[:], v)
	return err
}

type hex16 [16]byte

func (h *hex16) UnmarshalText(text []byte) error {
	v, err := fixedHex(text, len(h))
	copy(h[:], v)
	return err
}

// sha256Digest is written sha256:<64 hex>.
type sha256Digest attest.Digest

const digestPrefix = "sha256:"

func (d *sha256Digest) UnmarshalText(text []byte) error {
	digits, found := strings.CutPrefix(string(text), digestPrefix)
	if !found {
		return fmt.Errorf("expected sha256: and 64 hex digits")
	}
	v, err := fixedHex([]byte(digits), len(d))
	copy(d[:], v)
	return err
}

// policyRule is a digest, or the word any.
type policyRule struct {
	any    bool
	digest attest.Digest
}

const wordAny = "any"

func (p *policyRule) UnmarshalText(text []byte) error {
	if string(text) == wordAny {
		p.any = true
		return nil
	}
	var d sha256Digest
	if err := d.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w, or the word any", err)
	}
	p.digest = attest.Digest(d)
	return nil
}

func (p policyRule) String() string {
	if p.any {
		return wordAny
	}
	return digestPrefix + p.digest.String()
}

// day is the first day, in UTC, on which something is no longer accepted.
type day time.Time

const dayLayout = "2006-01-02"

func (d *day) UnmarshalText(text []byte) error {
	t, err := time.ParseInLocation(dayLayout, string(text), time.UTC)
	if err != nil {
		return fmt.Errorf("expected a day such as 2027-01-01")
	}
	*d = day(t)
	return nil
}

// kindName is a kind of machine. The simulated one has its own, longer key, and
// devices beside a processor have hardware.gpu.
type kindName attest.Kind

func (k *kindName) UnmarshalText(text []byte) error {
	kind, _ := attest.ParseKind(string(text)) // no list holds the kind that an unknown name gives
	switch {
	case kind.Simulated():
		return fmt.Errorf("expected %s (simulated evidence is accepted with allow_simulated)", kindNames(sectionKinds()))
	case !slices.Contains(sectionKinds(), kind):
		return fmt.Errorf("expected %s", kindNames(sectionKinds()))
	}
	*k = kindName(kind)
	return nil
}

type productName snp.Product

func (p *productName) UnmarshalText(text []byte) error {
	product, err := snp.ParseProduct(string(text))
	if err != nil {
		return fmt.Errorf("expected one of Milan, Genoa, Turin")
	}
	*p = productName(product)
	return nil
}

// rule says what one bit must be. The zero value was not set.
type rule uint8

const (
	ruleUnset rule = iota
	ruleAllow      // either; shows in the Result
	ruleRequire
	ruleForbid
)

var ruleNames = map[rule]string{ruleAllow: "allow", ruleRequire: "require", ruleForbid: "forbid"}

func (r rule) String() string { return ruleNames[r] }

func (r *rule) UnmarshalText(text []byte) error {
	for value, name := range ruleNames {
		if name == string(text) {
			*r = value
			return nil
		}
	}
	return fmt.Errorf("expected allow, require or forbid")
}

// vmplRule is a privilege level from 0 to 3, or the word any.
type vmplRule struct {
	any   bool
	level uint32
}

func (v *vmplRule) UnmarshalText(text []byte) error {
	if string(text) == wordAny {
		v.any = true
		return nil
	}
	if len(text) != 1 || text[0] < '0' || text[0] > '3' {
		return fmt.Errorf("expected 0, 1, 2, 3 or the word any")
	}
	v.level = uint32(text[0] - '0')
	return nil
}

func (v vmplRule) String() string {
	if v.any {
		return wordAny
	}
	return strconv.FormatUint(uint64(v.level), 10)
}

// dotted is a version of up to three numbers: 1.55 or 1.55.29.
type dotted [3]uint8

func (d *dotted) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), ".")
	if len(parts) < 2 || len(parts) > 3 {
		return fmt.Errorf("expected a version such as 1.55 or 1.55.29")
	}
	for i, part := range parts {
		n, _ := strconv.ParseUint(part, 10, 8) // what is no number up to 255 is not written as any n
		if strconv.FormatUint(n, 10) != part {
			return fmt.Errorf("expected a version such as 1.55 or 1.55.29")
		}
		d[i] = uint8(n)
	}
	return nil
}

func (d dotted) String() string { return fmt.Sprintf("%d.%d.%d", d[0], d[1], d[2]) }

func (d dotted) atLeast(floor dotted) bool { return slices.Compare(d[:], floor[:]) >= 0 }

// revocationRule says what to do where nothing tells whether keys were revoked.
type revocationRule uint8

const (
	revocationUnset revocationRule = iota
	revocationRequire
	revocationAllowMissing
)

var revocationNames = map[revocationRule]string{revocationRequire: "require", revocationAllowMissing: "allow_missing"}

func (r revocationRule) String() string { return revocationNames[r] }

func (r *revocationRule) UnmarshalText(text []byte) error {
	for value, name := range revocationNames {
		if name == string(text) {
			*r = value
			return nil
		}
	}
	return fmt.Errorf("expected require or allow_missing")
}

// byteSize is a number of bytes with its unit, as in a policy: 512B, 64KiB,
// 4MiB, 1GiB.
type byteSize int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func (s *byteSize) UnmarshalText(text []byte) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || n < 1 || strconv.FormatInt(n, 10) != digits {
			break
		}
		*s = byteSize(n * u.size)
		return nil
	}
	return fmt.Errorf("expected a size such as 512B, 64KiB or 4MiB")
}

func (s byteSize) String() string {
	for _, u := range byteUnits {
		if int64(s)%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
