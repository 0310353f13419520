package mutate

import "slices"

// Expose returns the model with every value that a node of its main graph makes as an
// output, without a declared type or shape: then what is inferred of each can be held
// against what a run gives. What the model itself declares of values is left out.
func Expose(model *Message) *Message {
	m := model.clone()
	g := m.sub(modelGraph)
	if g == nil {
		return m
	}
	var names []string
	for _, i := range g.all(graphNode) {
		for _, name := range resultsOf(g.Fields[i].Sub) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, i := range g.all(graphOutput) {
		if name := g.Fields[i].Sub.text(1); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	g.drop(graphOutput)
	g.drop(graphValue)
	for _, name := range names {
		g.Fields = append(g.Fields, Inner(graphOutput, message(Value, Text(1, name))))
	}
	return m
}

// WithShapes returns the model with the given shapes declared for its inputs; nil is
// a shape that is open, even in its rank, and -1 a dimension that is.
func WithShapes(model *Message, shapes map[string][]int64) *Message {
	m := model.clone()
	g := m.sub(modelGraph)
	if g == nil {
		return m
	}
	for _, i := range g.all(graphInput) {
		v := g.Fields[i].Sub
		shape, ok := shapes[v.text(1)]
		t := v.sub(2)
		if !ok || t == nil || t.sub(1) == nil {
			continue
		}
		tensor := t.sub(1)
		tensor.drop(typeShape)
		if shape == nil {
			continue
		}
		s := message(Shape)
		for _, d := range shape {
			dim := message(Dim)
			if d >= 0 {
				dim.Fields = append(dim.Fields, Number(dimValue, d))
			}
			s.Fields = append(s.Fields, Inner(1, dim))
		}
		tensor.Fields = append(tensor.Fields, Inner(typeShape, s))
	}
	return m
}

// Store returns the model with an input turned into a stored tensor: value is the
// file of one. What was left for a run is known then when the model is loaded.
func Store(model *Message, input string, value []byte) (*Message, error) {
	t, err := Read(Tensor, value)
	if err != nil {
		return nil, err
	}
	t.set(Text(tensorName, input))
	m := model.clone()
	g := m.sub(modelGraph)
	if g == nil {
		return m, nil
	}
	g.Fields = slices.DeleteFunc(g.Fields, func(f Field) bool { return f.Number == graphInput && f.Sub.text(1) == input })
	g.Fields = append(g.Fields, Inner(graphTensor, t))
	return m, nil
}

// InputName is the name of an input of the model's graph.
func InputName(model *Message, i int) (string, bool) {
	g := model.sub(modelGraph)
	if g == nil {
		return "", false
	}
	at := g.all(graphInput)
	if i >= len(at) {
		return "", false
	}
	return g.Fields[at[i]].Sub.text(1), true
}
