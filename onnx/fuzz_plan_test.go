package onnx

import (
	"errors"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/mutate"
	"github.com/blindbox/blindbox/onnx/internal/plan"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// FuzzPlan plans whatever loads, as it stands and after the changes that a list of bytes
// stands for: nothing that is alive shares memory, what is computed while loading is
// bounded by the weights, and a run takes what its plan says and not more.
func FuzzPlan(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s, []byte{})
		f.Add(s, []byte{3, 1, 4})
	}
	f.Fuzz(func(t *testing.T, data, change []byte) {
		tree, err := mutate.Read(mutate.Model, data)
		if len(change) > 0 && err == nil && len(change) < 256 {
			data = mutate.Mutate(tree, nil, mutate.NewChoice(change)).Append(nil)
		}
		for _, opts := range [][]Option{{WithPoison()}, {WithoutFusion(), WithThreads(2)}} {
			tryPlan(t, data, change, opts)
		}
	})
}

// TestPlansSayWhatRunsTake does so with all published cases.
func TestPlansSayWhatRunsTake(t *testing.T) {
	large := pb.ModelAt(22, pb.Input("x", 1, 1, 64, 64), pb.Node("", "Det", of("x"), of("y")), pb.OpenOutput("y", 1))
	for _, data := range append(publishedCases(t, 1), large) {
		for _, opts := range [][]Option{{WithPoison()}, {WithoutFusion(), WithThreads(2)}} {
			tryPlan(t, data, nil, opts)
		}
	}
}

func tryPlan(t *testing.T, data, values []byte, opts []Option) {
	m, err := Parse(data, fuzzLimits())
	if err != nil {
		return
	}
	d := m.Describe()
	s, err := NewSession(m, opts...)
	if err != nil {
		return
	}
	checkFolded(t, s, d)
	src := source{values, 0}
	var feeds []*tensor.Tensor
	var shapes [][]int64
	given := int64(0)
	for _, v := range s.Inputs() {
		in := src.value(v)
		feeds, shapes, given = append(feeds, in), append(shapes, in.Shape), given+in.Bytes()
		if in.Type != v.Type {
			return // of a type that this test does not make
		}
	}
	b, err := s.program.Bind(shapes, s.threads)
	if err != nil {
		return
	}
	if err := b.Verify(); err != nil {
		t.Fatal(err)
	}
	arena, outputs, exact := b.Bytes()
	share := &meter{}
	if _, err := s.program.Run(t.Context(), s.threads, feeds, share); err != nil && exact && errors.Is(err, ErrLimit) {
		t.Fatalf("planned to take %d and %d bytes: %v", arena, outputs, err)
	} else if err != nil && share.held != 0 {
		t.Fatalf("%d bytes are held after %v", share.held, err)
	}
	longest := int64(0)
	for _, shape := range shapes {
		longest = max(longest, slices.Max(append(shape, 0)))
	}
	if most := given + arena + outputs + perTensor*int64(len(s.program.Values)+len(s.outputs)) + perDim*longest; exact && share.most > most {
		t.Fatalf("took %d bytes, planned are %d and %d beside %d of inputs", share.most, arena, outputs, given)
	}
}

// perTensor is what a tensor counts beside its elements, and what small outputs that are
// copied for the caller may take.
const perTensor = 1 << 10

// perDim is what operators take of their own for each index of a dimension: [Memory] says
// that this comes on top.
const perDim = 32

// checkFolded: results that are computed while loading are at most eight times the
// weights, beside small ones of each node.
func checkFolded(t *testing.T, s *Session, d Description) {
	t.Helper()
	small := int64(0)
	for _, use := range d.Operators {
		small += int64(use.Nodes)
	}
	const each = 64 * 16 * 8 // elements, their bytes, results
	if got := s.program.FixedBytes(); got > 9*d.Bytes+each*(small+1) {
		t.Fatalf("%d bytes of constants, the file has %d in %d nodes", got, d.Bytes, small)
	}
}

// meter is a share without a bound that knows the most that was held.
type meter struct{ held, most int64 }

var _ plan.Share = (*meter)(nil)

func (m *meter) Take(n int64) error {
	m.held += n
	m.most = max(m.most, m.held)
	return nil
}

func (m *meter) Give(n int64) { m.held -= n }
