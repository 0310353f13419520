package onnx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/blindbox/blindbox/onnx/internal/apart"
	"github.com/blindbox/blindbox/onnx/internal/plan"
)

// ErrMixes is wrapped by errors that say that a model does not, or is not known to, treat
// each row of its inputs by itself.
var ErrMixes = apart.ErrMixes

// WithRows has the session keep what [Session.Apart] and [Session.Batches] reason about.
func WithRows() Option { return func(o *options) { o.plan.Outline = true } }

// rows is what is known of running several rows at once.
type rows struct {
	outline *plan.Outline
	mu      sync.Mutex
	known   []verdict // most recently used last
}

// verdict is whether so many rows of some shapes are apart.
type verdict struct {
	key []int64
	err error
}

// maxVerdicts is how many verdicts a session keeps: a caller with more shapes than that
// pays for proofs again.
const maxVerdicts = 64

// Apart says whether a run of n rows, one behind the other in dimension 0 of every
// input, answers each row bit for bit as a run of that row alone does, whatever the
// others hold. Shapes are the inputs' shapes but for dimension 0, by name. The session
// was made with [WithRows].
//
// It is a proof over the operators of the model for these shapes; what is not known to
// keep rows apart is refused, with an error that wraps [ErrMixes] and names the node.
// It ends with the context, whose error is not about the model. take is asked for the
// memory that the proof holds until it ends, up to some tens of MiB, and its error, which
// ends the proof, is returned.
func (s *Session) Apart(ctx context.Context, shapes map[string][]int64, n int64, take func(bytes int64) error) (err error) {
	defer recovered(&err, func() {})
	if s.rows == nil || n < 2 {
		return fmt.Errorf("%w: asked about %d rows; expected a session with WithRows, and 2 or more", ErrMixes, n)
	}
	if err := s.leading(); err != nil {
		return err
	}
	ordered, symbols := make([][]int64, len(s.inputs)), map[string]int64{}
	for i, want := range s.inputs {
		ordered[i] = slices.Concat([]int64{1}, shapes[want.Name])
		if err := want.fits(ordered[i], symbols); err != nil {
			return &InputError{want.Name, err}
		}
	}
	return s.rows.verdict(ctx, ordered, n, take)
}

// leading refuses models whose inputs and outputs do not all begin with one open
// dimension, or that use it in another place, too.
func (s *Session) leading() error {
	if len(s.inputs) == 0 {
		return fmt.Errorf("%w: there is no input", ErrMixes)
	}
	symbol := ""
	for _, v := range slices.Concat(s.inputs, s.outputs) {
		if !v.Type.Element() || v.Type.Size() > 8 || len(v.Shape) == 0 || v.Shape[0] != -1 {
			return fmt.Errorf("%w: %v, expected numbers with a first dimension that is open", ErrMixes, v)
		}
		if symbol = cmp.Or(symbol, v.Symbols[0]); v.Symbols[0] != symbol || symbol != "" && slices.Contains(v.Symbols[1:], symbol) {
			return fmt.Errorf("%w: %v, expected %s as the first dimension of every input and output, and of no other", ErrMixes, v, quote(symbol))
		}
	}
	return nil
}

// verdict proves, or finds what was proved before.
func (r *rows) verdict(ctx context.Context, shapes [][]int64, n int64, take func(bytes int64) error) error {
	key := []int64{n}
	for _, s := range shapes {
		key = append(append(key, int64(len(s))), s...)
	}
	r.mu.Lock()
	for i, v := range r.known {
		if slices.Equal(v.key, key) {
			r.known = append(slices.Delete(r.known, i, i+1), v)
			r.mu.Unlock()
			return v.err
		}
	}
	r.mu.Unlock()
	var full error
	err := apart.Check(ctx, r.outline, shapes, n, func(bytes int64) error {
		full = take(bytes)
		return full
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("onnx: %w", ctx.Err())
	case full != nil:
		return full
	}
	if err != nil {
		err = fmt.Errorf("onnx: %w", public(err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) == maxVerdicts {
		r.known = slices.Delete(r.known, 0, 1)
	}
	r.known = append(r.known, verdict{key, err})
	return err
}

// tried are sizes for dimensions that a model leaves open: tokens, and the sides of
// pictures.
func tried() []int64 { return []int64{8, 16, 32, 64, 224, 1} }

// Batches says whether the model keeps the rows of a batch apart, as far as can be said
// before shapes are known: with some size of all open dimensions it does.
// [Session.Apart] is about the shapes of a run, and says what the context and take are.
func (s *Session) Batches(ctx context.Context, take func(bytes int64) error) error {
	var first error
	memory := &reused{take: take}
	for _, size := range tried() {
		err := s.batchesOf(ctx, size, memory)
		if err == nil || ctx.Err() != nil || memory.full != nil {
			return err
		}
		if first == nil || errors.Is(err, ErrMixes) && !errors.Is(first, ErrMixes) {
			first = err
		}
	}
	return first
}

// batchesOf is Batches with one size of all open dimensions.
func (s *Session) batchesOf(ctx context.Context, size int64, memory *reused) error {
	shapes := map[string][]int64{}
	for _, v := range s.inputs {
		shape := slices.Clone(v.Shape)
		for i, d := range shape {
			if d == -1 {
				shape[i] = size
			}
		}
		shapes[v.Name] = shape[min(1, len(shape)):]
	}
	for _, n := range []int64{2, 3} {
		if err := s.Apart(ctx, shapes, n, memory.again()); err != nil {
			return err
		}
	}
	return nil
}

// reused is memory that proofs take one after the other: as much as the largest of them.
type reused struct {
	take func(bytes int64) error
	most int64
	full error
}

// again is what the next proof takes its memory with.
func (r *reused) again() func(bytes int64) error {
	held := int64(0)
	return func(bytes int64) error {
		if held += bytes; held > r.most && r.full == nil {
			if r.full = r.take(held - r.most); r.full == nil {
				r.most = held
			}
		}
		return r.full
	}
}
