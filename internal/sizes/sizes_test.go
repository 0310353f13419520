package sizes

import (
	"math"
	"testing"
)

func TestText(t *testing.T) {
	for n, want := range map[int64][2]string{
		0: {"0 B", "0 B"}, 1: {"1 B", "1 B"}, 999: {"999 B", "999 B"},
		1023: {"1023 B", "1023 B"}, 1000 << 10: {"1000 KiB", "1000 KiB"}, 1024: {"1 KiB", "1 KiB"}, 1025: {"1.0 KiB", "1.0 KiB (1025 bytes)"},
		3460: {"3.4 KiB", "3.4 KiB (3460 bytes)"}, 300 << 10: {"300 KiB", "300 KiB"}, 300<<10 + 1: {"300 KiB", "300 KiB (307201 bytes)"},
		20 << 20: {"20 MiB", "20 MiB"}, 20<<20 - 1: {"20.0 MiB", "20.0 MiB (20971519 bytes)"}, 24536789: {"23.4 MiB", "23.4 MiB (24536789 bytes)"},
		1 << 30: {"1 GiB", "1 GiB"}, 3 << 29: {"1.5 GiB", "1.5 GiB (1610612736 bytes)"}, 2048 << 40: {"2048 TiB", "2048 TiB"},
		math.MaxInt64: {"8388608 TiB", "8388608 TiB (9223372036854775807 bytes)"},
	} {
		if got := [2]string{Of(n), Exact(n)}; got != want {
			t.Errorf("%d: %q, expected %q", n, got, want)
		}
	}
}
