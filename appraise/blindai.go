package appraise

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/blindbox/blindbox/attest"
)

// blindAIManifest is what BlindAI's client compared an enclave with: the file
// manifest.toml, before that policy.toml, of its client package.
type blindAIManifest struct {
	mrenclave   [32]byte
	allowDebug  bool
	flags, xfrm maskedValue // ATTRIBUTES
	misc        maskedValue // MISCSELECT, 32 bits
}

// maskedValue is a number of which only the bits in mask count.
type maskedValue struct{ value, mask uint64 }

const (
	maxManifest      = 64 << 10
	maxManifestLine  = 4 << 10
	sgxFlagInit      = 1 << 0
	sgxFlagDebug     = 1 << 1
	manifestRequired = "mr_enclave, allow_debug, attributes_flags_hex, attributes_mask_flags_hex, attributes_xfrm_hex, attributes_mask_xfrm_hex, misc_select_hex, misc_mask_hex"
)

// FromBlindAIManifest returns the Trust that accepts what a BlindAI client with
// this manifest.toml (or policy.toml, its older name) accepted, and no debuggable
// enclave. BlindAI knew no policy of the box, so any is accepted unless one is
// given; what it tolerated of the platform is not in the file, so the defaults
// hold. It compared ATTRIBUTES without INIT, which each enclave in use has, and
// the bit is added to what is expected.
func FromBlindAIManifest(manifest, policyDocument []byte, name string) (*Trust, error) {
	m, err := parseBlindAIManifest(manifest)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = "blindai"
	}
	if len(name) > maxName {
		return nil, fmt.Errorf("appraise: a name of %d bytes, expected at most %d", len(name), maxName)
	}
	t := defaults()
	t.accept = []reference{{
		name:   name,
		code:   map[attest.Kind]codeValues{attest.SGX: sgxReference{enclave: true, mrenclave: m.mrenclave}},
		policy: firstPolicy(attest.Statement{}, policyDocument),
	}}
	t.hardware.kinds = t.sections()
	q := &t.hardware.sgx
	q.attributes, q.xfrm, q.miscSelect = m.flags, m.xfrm, m.misc
	if m.flags.mask&sgxFlagInit != 0 {
		q.attributes.value |= sgxFlagInit
	}
	return t, nil
}

// parseBlindAIManifest reads the "key = value" lines of a manifest. It knows no
// tables, no lists and no other TOML than those files hold; a key that it does
// not know is an error, since its author meant something by it.
func parseBlindAIManifest(text []byte) (*blindAIManifest, error) {
	if len(text) > maxManifest {
		return nil, fmt.Errorf("appraise: manifest of %d bytes, expected at most %d", len(text), maxManifest)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("appraise: manifest is not UTF-8")
	}
	m := &blindAIManifest{}
	seen := make(map[string]bool)
	for i, line := range strings.Split(string(text), "\n") {
		key, value, err := manifestLine(strings.TrimSuffix(line, "\r"))
		if err == nil && key != "" {
			if seen[key] {
				err = fmt.Errorf("%s given twice", key)
			} else {
				err = m.set(key, value)
			}
			seen[key] = true
		}
		if err != nil {
			return nil, fmt.Errorf("appraise: manifest line %d: %w", i+1, err)
		}
	}
	return m, m.complete(seen)
}

// manifestLine splits a line; the key of an empty one is empty.
func manifestLine(line string) (key, value string, err error) {
	if len(line) > maxManifestLine {
		return "", "", fmt.Errorf("%d bytes, expected at most %d", len(line), maxManifestLine)
	}
	text := strings.TrimSpace(line)
	if text == "" || text[0] == '#' {
		return "", "", nil
	}
	key, value, _ = strings.Cut(text, "=") // no value fits a key without one
	value = strings.TrimSpace(value)
	// A comment may follow; no value of these files holds the character.
	if at := strings.IndexByte(value, '#'); at >= 0 {
		value = strings.TrimSpace(value[:at])
	}
	return strings.TrimSpace(key), value, nil
}

func (m *blindAIManifest) set(key, value string) error {
	var err error
	switch key {
	case "mr_enclave":
		err = manifestDigest(value, &m.mrenclave)
	case "allow_debug":
		m.allowDebug, err = manifestBool(value)
	case "attributes_flags_hex":
		m.flags.value, err = manifestHex(value, 64)
	case "attributes_mask_flags_hex":
		m.flags.mask, err = manifestHex(value, 64)
	case "attributes_xfrm_hex":
		m.xfrm.value, err = manifestHex(value, 64)
	case "attributes_mask_xfrm_hex":
		m.xfrm.mask, err = manifestHex(value, 64)
	case "misc_select_hex":
		m.misc.value, err = manifestHex(value, 32)
	case "misc_mask_hex":
		m.misc.mask, err = manifestHex(value, 32)
	default:
		return fmt.Errorf("unknown key %q", brief(key))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func brief(s string) string { return s[:min(len(s), 40)] }

// complete refuses a manifest that leaves a question open.
func (m *blindAIManifest) complete(seen map[string]bool) error {
	for _, key := range strings.Split(manifestRequired, ", ") {
		if !seen[key] {
			return fmt.Errorf("appraise: manifest without %s", key)
		}
	}
	if m.allowDebug {
		return fmt.Errorf("appraise: manifest allows debug: whoever starts such an enclave reads its memory, so no trust file can accept it")
	}
	for _, v := range []struct {
		name string
		maskedValue
	}{{"attributes_flags_hex", m.flags}, {"attributes_xfrm_hex", m.xfrm}, {"misc_select_hex", m.misc}} {
		if outside := v.value &^ v.mask; outside != 0 {
			return fmt.Errorf("appraise: manifest: %s sets bit %d, which its mask leaves out", v.name, bits.TrailingZeros64(outside))
		}
	}
	if m.flags.value&sgxFlagDebug != 0 {
		return fmt.Errorf("appraise: manifest requires debug")
	}
	return nil
}

// manifestString returns what stands between double quotes, nothing if there are
// none. All strings of these files are hex digits: none holds an escape.
func manifestString(value string) string {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return ""
	}
	return value[1 : len(value)-1]
}

func manifestDigest(value string, out *[32]byte) error {
	b, err := hex.DecodeString(manifestString(value))
	if err != nil || len(b) != len(out) {
		return fmt.Errorf("expected 64 hex digits in double quotes")
	}
	if !slices.ContainsFunc(b, func(v byte) bool { return v != 0 }) {
		return fmt.Errorf("expected a value that is not all zero")
	}
	copy(out[:], b)
	return nil
}

func manifestHex(value string, size int) (uint64, error) {
	digits, found := strings.CutPrefix(manifestString(value), "0x")
	n, err := strconv.ParseUint(digits, 16, size)
	if !found || err != nil {
		return 0, fmt.Errorf("expected 0x and at most %d hex digits in double quotes", size/4)
	}
	return n, nil
}

func manifestBool(value string) (bool, error) {
	switch value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("expected true or false")
}
