package plan

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// Share is what a run may hold of a budget that several runs have together. It is for
// one run at a time.
type Share interface {
	Take(bytes int64) error
	Give(bytes int64)
}

// Keeper is a share whose budget goes on counting memory that waits for another run. It
// calls drop if it needs the memory, at any time; who needs it again calls end.
type Keeper interface {
	Keep(bytes int64, drop func()) (end func())
}

// ledger counts the bytes that a run holds. What comes and goes with a plan is taken
// and given exactly. Tensors that are made on the way (late values, what loops gather)
// may be shared in ways that nobody follows, so they are counted when they are made;
// when the limit is near, those that the run can still reach are counted anew.
type ledger struct {
	limit  int64
	share  Share // nil: no budget beside the limit
	exact  int64 // planned memory
	made   int64 // made on the way, as counted last
	frames []*frame
	kept   []*tensor.Tensor // what operators say they hold
	inputs []*tensor.Tensor
	waits  map[*Program]*frame // of graphs inside, for their next turn; part of exact
}

// take counts planned memory.
func (l *ledger) take(bytes int64) error {
	if bytes > l.limit-l.exact-l.made {
		l.dropWaits()
	}
	if bytes > l.limit-l.exact-l.made {
		l.recount()
	}
	if bytes > l.limit-l.exact-l.made {
		return fmt.Errorf("%w: %d bytes more than the %d that the run holds, at most %d", ErrLimit, bytes, l.exact+l.made, l.limit)
	}
	if err := l.draw(bytes); err != nil {
		l.dropWaits()
		l.recount() // what nobody reaches any more may be enough
		if err := l.draw(bytes); err != nil {
			return err
		}
	}
	l.exact += bytes
	return nil
}

// draw takes from the share.
func (l *ledger) draw(bytes int64) error {
	if l.share == nil {
		return nil
	}
	return l.share.Take(bytes)
}

// give is the end of planned memory.
func (l *ledger) give(bytes int64) {
	l.exact -= bytes
	if l.share != nil {
		l.share.Give(bytes)
	}
}

// wait lets the frame of a graph inside wait for its next turn in this run, and no longer:
// without a budget nothing else bounds what many graphs would hold together.
func (l *ledger) wait(f *frame) {
	p := f.bound.program
	if old := l.waits[p]; old != nil {
		l.give(old.bound.arena)
	}
	if l.waits == nil {
		l.waits = map[*Program]*frame{}
	}
	l.waits[p] = f
}

// waited returns the frame of a binding that waits in this run; nil if there is none.
func (l *ledger) waited(b *Bound) *frame {
	f := l.waits[b.program]
	if f == nil || f.bound != b {
		return nil
	}
	delete(l.waits, b.program)
	l.give(b.arena)
	return f
}

// dropWaits lets go of all frames that wait in this run.
func (l *ledger) dropWaits() {
	for _, f := range l.waits {
		l.give(f.bound.arena)
	}
	clear(l.waits)
}

// budgeted says whether a budget counts memory that waits for another run.
func (l *ledger) budgeted() bool {
	_, ok := l.share.(Keeper)
	return ok
}

// keep is the end of planned memory that waits for another run. There is no end if no
// budget counts it from now on.
func (l *ledger) keep(bytes int64, drop func()) (end func()) {
	if k, ok := l.share.(Keeper); ok && bytes > 0 {
		l.exact -= bytes
		return k.Keep(bytes, drop)
	}
	l.give(bytes)
	return nil
}

// make makes a tensor on the way, of elements only: tensor.New sees to that.
func (l *ledger) make(limits Limits, t tensor.DataType, shape []int64) (*tensor.Tensor, error) {
	if err := limits.checkDims(shape); err != nil {
		return nil, err
	}
	if err := l.hold(elements(shape)*t.Size() + smallest); err != nil {
		return nil, err
	}
	return tensor.New(t, shape)
}

// hold counts memory that is taken on the way.
func (l *ledger) hold(bytes int64) error {
	if err := l.take(bytes); err != nil {
		return err
	}
	l.exact -= bytes
	l.made += bytes
	return nil
}

// smallest is what a tensor costs beside its elements, so that a million empty ones do
// not count as nothing.
const smallest = 128

// recount finds what of the tensors that were made can still be reached.
func (l *ledger) recount() {
	seen := map[uintptr]bool{}
	now := int64(0)
	for _, in := range l.inputs { // counted by whoever brought them
		mark(in, seen)
	}
	for _, f := range l.frames {
		for id, v := range f.values {
			if v != nil && f.bound.values[id].counted() {
				now += mark(v, seen)
			}
		}
	}
	for _, v := range l.kept {
		now += mark(v, seen)
	}
	now = min(now, l.made)
	if l.share != nil {
		l.share.Give(l.made - now)
	}
	l.made = now
}

// counted says whether a value may be one that was made on the way; all others are
// part of the plan.
func (v *boundValue) counted() bool {
	return v.place == late || v.place == heap || v.place == view || v.place == given
}

// mark counts a tensor whose memory was not seen before.
func mark(t *tensor.Tensor, seen map[uintptr]bool) int64 {
	n := int64(smallest)
	for _, item := range t.Items {
		n += mark(item, seen)
	}
	at := tensor.Address(t)
	if at == 0 || seen[at] {
		return n
	}
	seen[at] = true
	n += t.Bytes()
	for _, s := range tensor.Data[string](t) {
		n += int64(len(s))
	}
	return n
}
