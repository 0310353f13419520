package op

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// example is one node that an operator takes, with its operands: a line of
// testdata/examples.jsonl, most of them after ONNX's published cases.
type example struct {
	Op    string
	Opset int64
	Attrs map[string]any
	In    []*exampleValue
	Outs  int
}

// exampleValue is a tensor, or a list of some. Elements that it does not say are made up.
type exampleValue struct {
	T     string
	S     []int64
	D     []any
	Items []exampleValue
}

func examples(t testing.TB) []example {
	t.Helper()
	data, err := os.ReadFile("testdata/examples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var e example
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func (e example) trial() trial {
	n := &graph.Node{Op: e.Op, Opset: e.Opset, Outputs: make([]string, e.Outs)}
	if domain, name, ok := strings.Cut(e.Op, ":"); ok {
		n.Domain, n.Op = domain, name
	}
	for _, name := range slices.Sorted(maps.Keys(e.Attrs)) {
		a := attributeOf(e.Attrs[name])
		a.Name = name
		n.Attrs = append(n.Attrs, a)
	}
	x := trial{node: n}
	for _, v := range e.In {
		x = x.with(v.tensor())
	}
	return x
}

func (x trial) with(t *tensor.Tensor) trial {
	name := ""
	if t != nil {
		name = "x"
	}
	n := *x.node
	n.Inputs = append(slices.Clone(n.Inputs), name)
	return trial{x.what, &n, append(slices.Clone(x.in), t)}
}

func attributeOf(v any) graph.Attribute {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".e") {
			f, _ := v.Float64()
			return graph.Attribute{Kind: graph.Float, F: float32(f)}
		}
		i, _ := v.Int64()
		return graph.Attribute{Kind: graph.Int, I: i}
	case string:
		return graph.Attribute{Kind: graph.String, S: v}
	}
	for kind, v := range v.(map[string]any) {
		switch kind {
		case "tensor":
			var e exampleValue
			text, _ := json.Marshal(v)
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			if err := d.Decode(&e); err != nil {
				return graph.Attribute{}
			}
			return graph.Attribute{Kind: graph.Tensor, T: e.tensor()}
		case "ints":
			return graph.Attribute{Kind: graph.Ints, Ints: tensor.Data[int64](madeOf(tensor.Int64, []int64{int64(len(v.([]any)))}, v.([]any)))}
		case "floats":
			return graph.Attribute{Kind: graph.Floats, Floats: tensor.Data[float32](madeOf(tensor.Float32, []int64{int64(len(v.([]any)))}, v.([]any)))}
		case "strings":
			return graph.Attribute{Kind: graph.Strings, Strings: tensor.Data[string](madeOf(tensor.String, []int64{int64(len(v.([]any)))}, v.([]any)))}
		}
	}
	return graph.Attribute{}
}

func (v *exampleValue) tensor() *tensor.Tensor {
	if v == nil {
		return nil
	}
	var items []*tensor.Tensor
	for i := range v.Items {
		items = append(items, v.Items[i].tensor())
	}
	switch v.T {
	case "sequence":
		return tensor.SequenceOf(items[0].Type, items...)
	case "optional":
		return tensor.OptionalOf(items[0].Type, 0, items[0])
	}
	return madeOf(namedType(v.T), v.S, v.D)
}

func namedType(name string) tensor.DataType {
	for t := tensor.DataType(1); t < 64; t++ {
		if t.String() == name {
			return t
		}
	}
	return 0
}

// madeOf makes a tensor of elements that repeat, or of 0, 1, 0, 1 ...
func madeOf(t tensor.DataType, shape []int64, from []any) *tensor.Tensor {
	out, err := tensor.New(t, shape)
	if err != nil {
		return nil
	}
	for i := range out.Len() {
		number := json.Number(fmt.Sprint(i % 2))
		var v any = number
		if len(from) > 0 {
			v = from[i%len(from)]
		}
		if n, ok := v.(json.Number); ok {
			number = n
		}
		f, _ := number.Float64()
		switch t {
		case tensor.Float32:
			tensor.Data[float32](out)[i] = float32(f)
		case tensor.Float64:
			tensor.Data[float64](out)[i] = f
		case tensor.Int64:
			tensor.Data[int64](out)[i] = int64(f)
		case tensor.Int32:
			tensor.Data[int32](out)[i] = int32(f)
		case tensor.Uint8:
			tensor.Data[uint8](out)[i] = uint8(f)
		case tensor.Int8:
			tensor.Data[int8](out)[i] = int8(f)
		case tensor.Bool:
			b, ok := v.(bool)
			tensor.Data[bool](out)[i] = ok && b
		case tensor.String:
			s, _ := v.(string)
			tensor.Data[string](out)[i] = s
		}
	}
	return out
}
