package store

import (
	"context"
	"time"
)

// slice is how long an upload or a load works on end, so that others get their turns.
const slice = 5 * time.Millisecond

// turn is the processor time of one upload or load, as Config.Turn gives it out. It
// belongs to one goroutine.
type turn struct {
	give    func(ctx context.Context, owner string) (release func(), alone bool, err error)
	owner   string
	release func() // nil while it has none
	alone   bool
	began   time.Time
}

// begin waits for processor time, unless there is some left.
func (t *turn) begin(ctx context.Context) (err error) {
	switch {
	case t.release != nil:
		return nil
	case t.give == nil:
		t.release, t.alone = func() {}, true
	default:
		t.release, t.alone, err = t.give(ctx, t.owner)
	}
	t.began = time.Now()
	return err
}

// over says that there is none, or none left.
func (t *turn) over() bool { return t.release == nil || time.Since(t.began) > slice }

func (t *turn) end() {
	if t.release != nil {
		t.release()
		t.release = nil
	}
}
