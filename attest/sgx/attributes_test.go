package sgx_test

import (
	"testing"

	"github.com/blindbox/blindbox/attest/sgx"
)

func TestAttributesString(t *testing.T) {
	for _, c := range []struct {
		a    sgx.Attributes
		want string
	}{
		{0, "none"},
		{sgx.AttributeInit | sgx.AttributeDebug, "init debug"},
		{sgx.AttributeKSS | 1<<40, "kss 0x10000000000"},
	} {
		if got := c.a.String(); got != c.want {
			t.Errorf("%#x: %q, want %q", uint64(c.a), got, c.want)
		}
	}
}
