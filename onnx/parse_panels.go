package onnx

import (
	"github.com/blindbox/blindbox/onnx/internal/gemm"
	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Weights that are only multiplied with are laid out for that at the latest when a
// session is made. In a stream they are warm in the processor's cache when they are
// put into their tensor, so they are put there as the product will read them. It is a
// guess, from the nodes that came before the weight, which is where writers put them:
// who wants a weight row by row after all has it so, see tensor.NewInPanels.

// panelElements is the size from which on it pays to lay out a weight as it comes.
const panelElements = 1 << 14

// factors are the names of what the nodes of the outermost graph take, and whether all
// take it as the right factor of a product.
type factors struct {
	seen int // nodes that were looked at
	only map[string]bool
}

// look goes on with the nodes that came since the last look.
func (s *factors) look(nodes []graph.Node) {
	if s.only == nil {
		s.only = map[string]bool{}
	}
	for _, n := range nodes[s.seen:] {
		for i, name := range n.Inputs {
			before, there := s.only[name]
			s.only[name] = i == 1 && n.Op == "MatMul" && n.Domain == "" && (before || !there)
		}
	}
	s.seen = len(nodes)
}

// room makes the tensor that a stored one is read into, and what takes its bytes.
func (p *parser) room(tp *tensorProto) (*tensor.Tensor, func([]byte) error, error) {
	if tp.among != nil && tp.typ == tensor.Float32 && len(tp.dims) == 2 && tp.dims[0]*tp.dims[1] >= panelElements {
		if p.factors.look(tp.among.Nodes); p.factors.only[tp.name] {
			t := tensor.NewInPanels(tp.dims[0], tp.dims[1], gemm.PanelWidth(kernel.Best()))
			if t != nil {
				return t, decodePanels(t), nil
			}
		}
	}
	t, err := tensor.New(tp.typ, tp.dims)
	if err != nil {
		return nil, nil, err
	}
	return t, decoder(t), nil
}

func decodePanels(t *tensor.Tensor) func([]byte) error {
	add := tensor.Filler(t)
	return func(b []byte) error {
		add(b)
		return nil
	}
}
