package pipeline

import (
	"context"
	"fmt"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/model/pipeline/ctc"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ctcStep reads text from the scores of characters in time.
type ctcStep struct {
	Pos        strictyaml.Pos
	Vocabulary name `yaml:"vocabulary,required"`
	Blank      word `yaml:"blank,required"`
	Word       word `yaml:"word"`
}

func (s *ctcStep) check(c *checker, path string) {
	c.file(s.Vocabulary, path+".vocabulary")
	if s.Blank.Value == "" {
		c.refuse(s.Blank.Pos, path+".blank", `""`, "a token of the vocabulary")
	}
	if given(s.Word) && (s.Word.Value == "" || s.Word.Value == s.Blank.Value) {
		c.refuse(s.Word.Pos, path+".word", strictyaml.Quote(s.Word.Value), "a token of the vocabulary, other than the blank")
	}
}

func (s *ctcStep) fit(b *binder, f form, path string) (form, apply, error) {
	v, err := floats(f, 3, s.Pos, path, "elements, frames, classes")
	if err != nil {
		return form{}, nil, err
	}
	d, err := ctc.New(b.files[s.Vocabulary.Value], ctc.Options{Blank: s.Blank.Value, Word: s.Word.Value})
	if err != nil {
		return form{}, nil, misfit(s.Vocabulary.Pos, path, s.Vocabulary.Value+": "+err.Error(), "a vocabulary: JSON of tokens and ids, or a token in each line")
	}
	if n := int64(d.Classes()); v.Shape[2] >= 0 && v.Shape[2] != n {
		return form{}, nil, misfit(s.Vocabulary.Pos, path+".vocabulary", fmt.Sprintf("%d tokens in %s", n, s.Vocabulary.Value), fmt.Sprintf("%d, the classes of %v", v.Shape[2], v))
	}
	b.hold(d.Bytes())
	return form{values: []onnx.ValueInfo{result("text", tensor.String)}}, func(ctx context.Context, st state) (state, error) {
		return decoded(ctx, st, d)
	}, nil
}

func decoded(ctx context.Context, s state, d *ctc.Decoder) (state, error) {
	t, err := s.floats(ctx, 3)
	if err != nil {
		return s, err
	}
	if t.Shape[2] != int64(d.Classes()) {
		return s, fmt.Errorf("pipeline: the model gave %v, expected elements, frames and %d classes", t.Shape, d.Classes())
	}
	items, each := int(t.Shape[0]), int(t.Shape[1]*t.Shape[2])
	data, texts := tensor.Data[float32](t), make([]string, t.Shape[0])
	for i := range items {
		scores := data[i*each : (i+1)*each]
		if s.rows != nil {
			scores = scores[:min(each, s.rows[i]*d.Classes())]
		}
		said, err := d.Decode(ctx, scores)
		if err != nil {
			return s, err
		}
		texts[i] = said.Text
	}
	return s.then(tensor.Of(texts, int64(items))), nil
}
