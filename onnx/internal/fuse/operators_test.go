package fuse

import (
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func info(shape ...int64) *op.Info {
	return &op.Info{Type: tensor.Float32, Ranked: true, Shape: shape}
}

// TestOperatorsRefuse: shapes that are open in a model may be wrong in a run.
func TestOperatorsRefuse(t *testing.T) {
	reshape, err := op.New(&graph.Node{Op: "Reshape", Opset: 17, Inputs: make([]string, 2), Outputs: []string{""}}, op.Table(), nil)
	if err != nil {
		t.Fatal(err)
	}
	wanted := func(shape ...int64) *op.Info { v := op.Known(tensor.List(shape...)); return &v }
	bytes, unranked, noRank := info(2, 3, 4, 8), &op.Info{Type: tensor.Float32}, &op.Info{Type: tensor.Int64}
	bytes.Type = tensor.Uint8
	q, columnsOf := info(2, 3, 4, 8), [3]*columns{{count: 24, width: 72, reshape: reshape, operand: 4}}
	of := heads{columns: columnsOf, q: true}
	for name, c := range map[string]struct {
		o     op.Operator
		in    []*op.Info
		fails bool
	}{
		"heads":                     {heads{}, []*op.Info{q, q, q}, false},
		"heads, mask":               {heads{}, []*op.Info{q, q, q, info(4, 4)}, false},
		"no queries":                {heads{}, []*op.Info{nil, q, q}, true},
		"keys of no rank":           {heads{}, []*op.Info{q, unranked, q}, true},
		"values of bytes":           {heads{}, []*op.Info{q, q, bytes}, true},
		"queries of 3 dimensions":   {heads{}, []*op.Info{info(2, 3, 4), q, q}, true},
		"queries of 5 dimensions":   {heads{}, []*op.Info{info(2, 3, 4, 8, 1), q, q}, true},
		"keys of another width":     {heads{}, []*op.Info{q, info(2, 3, 4, 7), q}, true},
		"mask of 5 dimensions":      {heads{}, []*op.Info{q, q, q, info(1, 1, 1, 4, 4)}, true},
		"columns":                   {of, []*op.Info{info(2, 4, 72), q, q, nil, wanted(2, 4, 3, 8)}, false},
		"columns, rows open":        {of, []*op.Info{info(2, -1, 72), q, q, nil, wanted(2, -1, 3, 8)}, false},
		"columns of a number":       {of, []*op.Info{info(), q, q, nil, wanted(2, 4, 3, 8)}, true},
		"columns, other width":      {of, []*op.Info{info(2, 4, 71), q, q, nil, wanted(2, 4, 3, 8)}, true},
		"columns, other heads":      {of, []*op.Info{info(2, 4, 72), q, q, nil, wanted(2, 4, 3, 7)}, true},
		"columns, no dimensions":    {of, []*op.Info{info(2, 4, 72), q, q, nil, noRank}, true},
		"columns, nothing is large": {of, []*op.Info{info(0, 4, 72), info(0, 3, 4, 8), info(0, 3, 4, 8), nil, wanted(0, math.MaxInt32+1, 3, 8)}, true},
		"taken":                     {taken{0, 2, 5}, []*op.Info{info(3, 5)}, false},
		"taken of no rank":          {taken{0, 2, 5}, []*op.Info{unranked}, true},
		"taken of a number":         {taken{0, 2, 5}, []*op.Info{info()}, true},
		"gate":                      {silu{}, []*op.Info{q}, false},
		"gate of bytes":             {silu{}, []*op.Info{bytes}, true},
		"guard":                     {guard{}, []*op.Info{q}, false},
		"guard of bytes":            {guard{}, []*op.Info{bytes}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := c.o.Infer(c.in); (err != nil) != c.fails {
				t.Errorf("%v, %v", out, err)
			}
		})
	}
}
