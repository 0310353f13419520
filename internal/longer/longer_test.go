package longer

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	slow := errors.New("too slow")
	var units []time.Duration
	enough := time.Duration(0)
	try := func(unit time.Duration) error {
		if units = append(units, unit); unit < enough {
			return slow
		}
		return nil
	}
	for _, c := range []struct {
		enough time.Duration
		units  []time.Duration
		err    error
	}{
		{1, []time.Duration{1}, nil},
		{16, []time.Duration{1, 4, 16}, nil},
		{257, []time.Duration{1, 4, 16, 64, 256}, slow},
	} {
		units, enough = nil, c.enough
		if err := Try(1, try); !errors.Is(err, c.err) || !slices.Equal(units, c.units) {
			t.Errorf("%d: %v with units %v", c.enough, err, units)
		}
	}
}
