package appraise

import (
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
)

// TestSpellings: what is almost a value is none, and the error says what would be.
func TestSpellings(t *testing.T) {
	type text interface{ UnmarshalText([]byte) error }
	for _, c := range []struct {
		into       text
		good, want string
		bad        []string
	}{
		{new(day), "2027-01-01", "a day", []string{"", "2027-1-1", "2027-02-30", "tomorrow"}},
		{new(vmplRule), "3", "0, 1, 2, 3", []string{"", "00", "01", "/", "4", "-1"}},
		{new(pcrName), "pcr31", "pcr0 to pcr31", []string{"", "0", "pcr", "pcr-1", "pcr32", "pcr00", "pcrx", "PCR0", "pcr99999999999999999999"}},
		{new(dotted), "1.55.29", "a version", []string{"", "1", "1.2.3.4", "1.", "1.02", "1.256", "1.-1", "1.x", "99999999999999999999.1"}},
	} {
		if err := c.into.UnmarshalText([]byte(c.good)); err != nil {
			t.Errorf("%T %q: %v", c.into, c.good, err)
		}
		for _, bad := range c.bad {
			if err := c.into.UnmarshalText([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%T %q: error %v", c.into, bad, err)
			}
		}
	}
}

// TestAnyIsInTheResult: what a reference value leaves open is in every Result.
func TestAnyIsInTheResult(t *testing.T) {
	registers := imageRegisters()
	for name, c := range map[string]struct {
		registers, seen string
	}{
		"all named": {registers, ""},
		"one any":   {registers + ", pcr4: any", "pcr4"},
	} {
		trust, err := ParseTrust([]byte(nitroFile(c.registers, "")))
		if err != nil {
			t.Fatal(err)
		}
		seen := ""
		for _, check := range trust.Appraise(onConnection(t), attesttest.Epoch()).Checks() {
			if check.Name == "code.any" && check.Status == attest.Skip {
				seen = check.Seen
			}
		}
		if (seen == "") != (c.seen == "") || !strings.Contains(seen, c.seen) {
			t.Errorf("%s: shown as %q", name, seen)
		}
	}
}
