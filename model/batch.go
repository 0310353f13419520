package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// member is a request in a run of several.
type member struct {
	ctx    context.Context
	caller string
	kind   kind
	in     map[string]*tensor.Tensor
	rows   int64
	answer chan answer // holds one
	over   atomic.Bool // it has its answer, or has left
}

type answer struct {
	out   map[string]*tensor.Tensor
	share *onnx.Share // holds the memory of out; nil: none
	err   error
}

// say answers a request. The first answer is the one that holds; what nobody waits for is
// let go.
func (m *member) say(a answer) {
	if m.over.CompareAndSwap(false, true) {
		m.answer <- a
	} else if a.share != nil {
		a.share.Release()
	}
}

// wait returns the answer, or when the request's context ends: the others go on.
func (m *member) wait() answer {
	select {
	case a := <-m.answer:
		return a
	case <-m.ctx.Done():
		if m.over.CompareAndSwap(false, true) {
			return answer{err: m.ctx.Err()}
		}
		return <-m.answer // in the same moment
	}
}

func bytesOf(list map[string]*tensor.Tensor) (n int64) {
	for _, t := range list {
		n += t.Bytes()
	}
	return n
}

// Shared counts the runs that several requests shared, since the server was made. It
// holds nothing of whose they were, or of which model.
type Shared struct {
	Runs     int64 // of several requests each
	Requests int64 // that such runs computed
	Rows     int64 // of all of them
}

type shared struct{ runs, requests, rows atomic.Int64 }

// add counts a run. One that could not be, after which the requests ran one by one, is
// none.
func (s *shared) add(requests int, rows int64) {
	s.runs.Add(1)
	s.requests.Add(int64(requests))
	s.rows.Add(rows)
}

// Shared is how requests have shared runs so far.
func (s *Server) Shared() Shared {
	return Shared{s.shared.runs.Load(), s.shared.requests.Load(), s.shared.rows.Load()}
}

// batch is a run of several requests.
type batch struct {
	session *onnx.Session
	members []*member
	budget  *onnx.Budget
	loners  *loners
	shared  *shared
}

// runBatch answers requests by one run, and one by one those that cannot be in it. It goes
// on while anybody waits for it. A failure inside is an error of these requests alone.
func runBatch(b *batch, items []any, end func()) {
	defer end()
	defer func() {
		if failed := recover(); failed != nil {
			b.reply(fmt.Errorf("model: a run of several requests failed inside: %T", failed))
		}
	}()
	for _, item := range items {
		if m := item.(*member); m.ctx.Err() == nil {
			b.members = append(b.members, m)
		}
	}
	ctx, stop := b.context()
	defer stop()
	with, rest := b.divided(ctx)
	if len(with.members) < 2 {
		with.alone(false)
	} else if err := with.together(ctx); err != nil {
		if errors.Is(err, onnx.ErrLimit) {
			b.bulky(with.members[len(with.members)-1:]) // the one with the most rows
		}
		with.alone(spoilt(err))
	}
	rest.alone(false)
}

// of is a batch of some of the requests.
func (b *batch) of(members []*member) *batch {
	some := *b
	some.members = members
	return &some
}

// context ends when the last request is gone.
func (b *batch) context() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var left atomic.Int64
	left.Store(int64(len(b.members)))
	var stops []func() bool
	for _, m := range b.members {
		stops = append(stops, context.AfterFunc(m.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// reply tells all requests that have no answer yet of an error.
func (b *batch) reply(err error) {
	for _, m := range b.members {
		m.say(answer{err: err})
	}
}

// together answers all requests by one run. After an error none has its answer.
func (b *batch) together(ctx context.Context) error {
	rows := int64(0)
	inputs := make([]map[string]*tensor.Tensor, len(b.members))
	bytes := int64(0)
	for i, m := range b.members {
		inputs[i] = m.in
		rows += m.rows
		bytes += bytesOf(m.in)
	}
	share := b.budget.Share()
	defer share.Release()                         // what is given out is on accounts of its own
	if err := share.Take(2 * bytes); err != nil { // as the requests have it, and joined
		return err
	}
	joined, err := onnx.JoinRows(inputs)
	if err != nil {
		return err
	}
	share.Give(bytes)
	out, err := b.session.RunWithin(ctx, joined, share)
	if err != nil {
		return err
	}
	return b.split(out, rows)
}

// divided is those requests that may run together, as no one's rows change what is said of
// another's, and the rest. For how many rows that is so is a matter of shapes. Requests of
// many rows go first, and are not taken along again for a while: who sends them does not
// keep the others from running together.
func (b *batch) divided(ctx context.Context) (with, rest *batch) {
	m := slices.SortedStableFunc(slices.Values(b.members), func(x, y *member) int { return cmp.Compare(x.rows, y.rows) })
	err := b.apart(ctx, m)
	switch {
	case err == nil:
		return b.of(m), b.of(nil)
	case ctx.Err() != nil || errors.Is(err, onnx.ErrBusy):
		return b.of(nil), b.of(m)
	}
	fit := 1 + sort.Search(len(m)-2, func(i int) bool { return b.apart(ctx, m[:i+2]) != nil })
	if fit == 1 && m[1].rows == 1 { // not even two rows
		b.loners.add(m[0].kind)
	}
	b.bulky(m[fit:])
	return b.of(m[:fit]), b.of(m[fit:])
}

// bulky has requests of several rows, and those like them of their callers, run alone.
func (b *batch) bulky(members []*member) {
	for _, m := range members {
		if m.rows > 1 {
			b.loners.add(bulk{m.kind, m.caller})
		}
	}
}

// apart asks for the proof that no request's rows change what is said of another's.
func (b *batch) apart(ctx context.Context, members []*member) error {
	if len(members) < 2 {
		return nil
	}
	shapes, sizes := map[string][]int64{}, []int64{0}
	for name, t := range members[0].in {
		shapes[name] = t.Shape[1:]
	}
	for _, m := range members {
		if sizes[0] += m.rows; m.rows > 1 && !slices.Contains(sizes[1:], m.rows) {
			sizes = append(sizes, m.rows)
		}
	}
	for _, rows := range sizes {
		proof := b.budget.Share()
		err := b.session.Apart(ctx, shapes, rows, proof.Take)
		proof.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// split gives each request its rows of the results.
func (b *batch) split(out map[string]*tensor.Tensor, rows int64) error {
	answers, first := make([]answer, len(b.members)), int64(0)
	for _, t := range out {
		if len(t.Shape) == 0 || t.Shape[0] != rows {
			return errNoRows
		}
	}
	b.shared.add(len(b.members), rows)
	each := bytesOf(out) / rows
	for i, m := range b.members {
		a := &answers[i]
		a.share = b.budget.Share()
		if a.err = a.share.Take(each * m.rows); a.err == nil {
			a.out, a.err = onnx.TakeRows(out, first, m.rows)
		}
		first += m.rows
	}
	for i, m := range b.members {
		m.say(answers[i])
	}
	return nil
}

// spoilt says that a run failed by what it was given.
func spoilt(err error) bool {
	var node *onnx.NodeError
	return errors.As(err, &node) && !errors.Is(err, onnx.ErrMixes) && !errors.Is(err, onnx.ErrBusy) && !errors.Is(err, onnx.ErrLimit)
}

// alone answers the requests one by one. Who fails alone, too, has spoilt the run of the
// others, and does not share one for a while. Nor does who has left a run that one of
// them has spoilt: it would show no more who it was.
func (b *batch) alone(spoilt bool) {
	for _, m := range b.members {
		if m.ctx.Err() != nil {
			if spoilt {
				b.loners.add(m.caller)
			}
			continue
		}
		share := b.budget.Share()
		out, err := b.session.RunWithin(m.ctx, m.in, share)
		if err != nil && m.ctx.Err() == nil && !errors.Is(err, onnx.ErrBusy) {
			b.loners.add(m.caller)
		}
		m.say(answer{out, share, err})
	}
}
