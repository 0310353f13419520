//go:build !race

package attesttest

const raceEnabled = false
