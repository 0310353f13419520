// Package longer answers, for tests of time limits: was a limit missed because it does
// not hold, or because the machine did something else meanwhile? What has to happen
// within a short time is tried again within longer ones.
package longer

import (
	"fmt"
	"time"
)

// tries is how often: the last unit is 256 times the first.
const tries = 5

// Try calls try with a unit of time, from which it takes all its limits and pauses, and
// while it fails with one that is four times as long. It returns the last error.
func Try(unit time.Duration, try func(unit time.Duration) error) error {
	for n := 1; ; n++ {
		err := try(unit)
		if err == nil {
			return nil
		}
		if n == tries {
			return fmt.Errorf("even with %s as unit of time: %w", unit, err)
		}
		unit *= 4
	}
}
