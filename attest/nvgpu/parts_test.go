package nvgpu

import (
	"testing"
)

// Rules whose breach no whole piece of evidence shows, because something before
// or behind them refuses it as well.

func TestDecodeRefuses(t *testing.T) {
	for name, der := range map[string][]byte{"nothing": nil, "another type": {2, 1, 1}, "cut": {4, 2, 1}, "two": {4, 1, 1, 4, 1, 1}} {
		var out []byte
		if err := decode(der, &out, ""); err == nil {
			t.Errorf("%s: read as %x", name, out)
		}
	}
}
