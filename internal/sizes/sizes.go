// Package sizes answers one question: how are bytes written for people? All errors and
// commands about models write them alike, so that a limit reads as whoever set it wrote it.
package sizes

import "fmt"

// Of is a number of bytes in the unit that reads best, such as "3.4 KiB" or "20 MiB". What
// is no whole number of units is rounded.
func Of(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, unit := float64(n), 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	if v == float64(int64(v)) || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[unit])
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}

// Exact is Of with the number itself behind what was rounded, for where it is compared:
// "23.4 MiB (24536789 bytes)".
func Exact(n int64) string {
	text := Of(n)
	if isWhole(n) {
		return text
	}
	return fmt.Sprintf("%s (%d bytes)", text, n)
}

// isWhole says that Of rounds nothing: n is a whole number of its units, or less than the
// first one has.
func isWhole(n int64) bool {
	unit := int64(1)
	for v := float64(n); v >= 1024 && unit < 1<<40; v /= 1024 {
		unit <<= 10
	}
	return n%unit == 0
}
