package tdx_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest/tdx"
)

func TestAttributesString(t *testing.T) {
	for _, c := range []struct {
		a    tdx.Attributes
		want string
	}{
		{0, "none"},
		{tdx.AttributeDebug, "debug"},
		{tdx.AttributeSeptVEDisable | tdx.AttributePerfmon, "sept_ve_disable perfmon"},
		{1 << 3, "0x8"},
		{1<<40 | tdx.AttributeMigratable, "migratable 0x10000000000"},
	} {
		if got := c.a.String(); got != c.want {
			t.Errorf("%#x: %q, want %q", uint64(c.a), got, c.want)
		}
	}
}
