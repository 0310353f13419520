package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// labelsStep names the classes that top kept, by the lines of a file.
type labelsStep struct{ strictyaml.At[string] }

func (s *labelsStep) check(c *checker, path string) { c.file(s.At, path) }

func (s *labelsStep) fit(b *binder, f form, path string) (form, apply, error) {
	if len(f.values) != 2 || f.values[1].Name != "index" {
		return form{}, nil, misfit(s.Pos, path, fmt.Sprintf("%v before it", f.values[0]), "the step top before it")
	}
	labels, err := lines(b.files[s.Value], maxLabels)
	if err != nil {
		return form{}, nil, misfit(s.Pos, path, s.Value+": "+err.Error(), "a label in each line")
	}
	if f.classes >= 0 && f.classes != int64(len(labels)) {
		return form{}, nil, misfit(s.Pos, path, fmt.Sprintf("%d lines in %s", len(labels), s.Value), fmt.Sprintf("%d, the classes of the model", f.classes))
	}
	b.hold(textBytes(labels))
	label := f.values[1]
	label.Name, label.Type = "label", tensor.String
	return form{values: []onnx.ValueInfo{label, f.values[0]}}, func(_ context.Context, st state) (state, error) {
		label, err := named(st.values[1], labels)
		return st.then(label, st.values[0]), err
	}, nil
}

func named(index *tensor.Tensor, labels []string) (*tensor.Tensor, error) {
	out := make([]string, index.Len())
	for i, class := range tensor.Data[int64](index) {
		if class >= int64(len(labels)) {
			return nil, fmt.Errorf("pipeline: the model has a class %d, labels are for %d", class, len(labels))
		}
		out[i] = labels[class]
	}
	return tensor.Of(out, slices.Clone(index.Shape)...), nil
}
