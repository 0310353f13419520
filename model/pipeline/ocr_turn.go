package pipeline

import (
	"context"
	"fmt"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/model/pipeline/ocr"
	"github.com/blindbox/blindbox/model/pipeline/picture"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// turnModel is a model that says whether a line of text is upside down: PP-OCR's classifier.
type turnModel struct {
	Model name `yaml:"model,required"`
	Pos   strictyaml.Pos
	Score number `yaml:"score"` // a line is turned when the model is surer than this
}

func (d *turnModel) check(c *checker, path string) {
	c.model(d.Model, path+".model")
	or(&d.Score, 0.9)
	c.within(d.Score, path+".score", 0, 1)
}

func (d *turnModel) open(m Model) (*turner, error) {
	if len(m.Inputs) != 1 || len(m.Outputs) != 1 || !takes(m.Inputs[0], 1, 3, 48, 192) || !takes(m.Outputs[0], 1, 2) {
		return nil, misfit(d.Model.Pos, "ocr.turn.model", signature(m), "a line, float32[1 3 48 192], to how sure it is that the line is upright and that it is not, float32[1 2]")
	}
	return &turner{model: d.Model.Value, in: m.Inputs[0].Name, out: m.Outputs[0].Name, score: float32(d.Score.Value)}, nil
}

// turner is a turnModel ready to run.
type turner struct {
	model, in, out string
	score          float32
}

// upright returns a line as it has to be read.
func (r *turner) upright(ctx context.Context, m *picture.Image, ask Ask) (*picture.Image, error) {
	line, err := ocr.ShortLineOf(ctx, m)
	if err != nil {
		return nil, err
	}
	out, err := ask(ctx, r.model, map[string]*tensor.Tensor{r.in: tensor.Of(line.Values, 1, 3, int64(line.Height), int64(line.Width))})
	if err != nil {
		return nil, err
	}
	sure, err := answered(out[r.out], 1, 2)
	if err != nil {
		return nil, fmt.Errorf("pipeline: %s: %w", r.model, err)
	}
	if sure[1] > r.score {
		return m.Turn(3), nil
	}
	return m, nil
}
