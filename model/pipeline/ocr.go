package pipeline

import (
	"fmt"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/model/pipeline/ctc"
	"github.com/blindbox/blindbox/model/pipeline/ocr"
	"github.com/blindbox/blindbox/model/pipeline/picture"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ocrTask reads what is written in a photograph: one model finds lines of text, another reads each.
type ocrTask struct {
	Pos       strictyaml.Pos
	Detect    detectModel    `yaml:"detect,required"`
	Turn      *turnModel     `yaml:"turn"`
	Recognise recogniseModel `yaml:"recognise,required"`
}

// detectModel is a model that marks text in a picture. What is not given is as PaddleOCR has it.
type detectModel struct {
	Model     name `yaml:"model,required"`
	Pos       strictyaml.Pos
	Side      integer  `yaml:"side"`    // the longer side of the picture is at most this
	Shorter   integer  `yaml:"shorter"` // and the shorter one at least this, if side leaves room
	Mean      []number `yaml:"mean"`    // for blue, green and red
	Std       []number `yaml:"std"`
	Threshold number   `yaml:"threshold"`
	Box       number   `yaml:"box"`
	Unclip    number   `yaml:"unclip"`
	Dilate    bool     `yaml:"dilate"`
	Lines     integer  `yaml:"lines"` // at most this many, the largest ones
}

// recogniseModel is a model that reads a line.
type recogniseModel struct {
	Model      name `yaml:"model,required"`
	Pos        strictyaml.Pos
	Height     integer `yaml:"height"`
	Characters name    `yaml:"characters,required"`
	Score      number  `yaml:"score"` // lines below it are left out
}

const (
	maxDetectSide = 2560
	maxLines      = 1000
	maxHeight     = 128
)

func (d *ocrTask) check(c *checker) {
	d.Detect.check(c, "ocr.detect")
	if d.Turn != nil {
		d.Turn.check(c, "ocr.turn")
	}
	d.Recognise.check(c, "ocr.recognise")
}

func (d *detectModel) check(c *checker, path string) {
	c.model(d.Model, path+".model")
	d.defaults()
	c.between(d.Side, path+".side", 32, maxDetectSide)
	c.between(d.Shorter, path+".shorter", 0, maxDetectSide)
	c.between(d.Lines, path+".lines", 1, maxLines)
	c.within(d.Threshold, path+".threshold", 0.01, 0.99)
	c.within(d.Box, path+".box", 0, 1)
	c.within(d.Unclip, path+".unclip", 0, 10)
	channels{picture.BGR}.check(c, d.Pos, path, d.Mean, d.Std)
}

// defaults puts what a document does not give.
func (d *detectModel) defaults() {
	or(&d.Side, 960)
	or(&d.Lines, maxLines)
	or(&d.Threshold, 0.3)
	or(&d.Box, 0.6)
	or(&d.Unclip, 1.5)
	if d.Mean == nil {
		d.Mean = []number{{Value: 0.485}, {Value: 0.456}, {Value: 0.406}}
	}
	if d.Std == nil {
		d.Std = []number{{Value: 0.229}, {Value: 0.224}, {Value: 0.225}}
	}
}

func or[T any](a *strictyaml.At[T], v T) {
	if !given(*a) {
		a.Value = v
	}
}

func (d *recogniseModel) check(c *checker, path string) {
	c.model(d.Model, path+".model")
	c.file(d.Characters, path+".characters")
	or(&d.Height, 48)
	or(&d.Score, 0.5)
	c.between(d.Height, path+".height", 8, maxHeight)
	c.within(d.Score, path+".score", 0, 1)
}

func (d *ocrTask) open(b *binder) (runner, error) {
	r := &ocrRunner{
		detect: d.Detect.Model.Value, recognise: d.Recognise.Model.Value,
		side: d.Detect.Side.Value, shorter: d.Detect.Shorter.Value, height: d.Recognise.Height.Value,
		values: channels{picture.BGR}.values(d.Detect.Mean, d.Detect.Std),
		find: ocr.Find{
			Threshold: float64(d.Detect.Threshold.Value), Box: float64(d.Detect.Box.Value),
			Unclip: float64(d.Detect.Unclip.Value), Dilate: d.Detect.Dilate, Most: d.Detect.Lines.Value,
		},
		score: float32(d.Recognise.Score.Value),
	}
	var err error
	if r.detectIn, r.detectOut, err = d.Detect.open(b.models[r.detect]); err != nil {
		return nil, err
	}
	if d.Turn != nil {
		if r.turn, err = d.Turn.open(b.models[d.Turn.Model.Value]); err != nil {
			return nil, err
		}
	}
	if r.lineIn, r.lineOut, err = d.Recognise.open(b.models[r.recognise]); err != nil {
		return nil, err
	}
	r.decoder, err = d.Recognise.decoder(b)
	return r, err
}

func (d *detectModel) open(m Model) (in, out string, err error) {
	if len(m.Inputs) != 1 || len(m.Outputs) != 1 || !takes(m.Inputs[0], 1, 3, -1, -1) || !takes(m.Outputs[0], 1, 1, -1, -1) {
		return "", "", misfit(d.Model.Pos, "ocr.detect.model", signature(m), "a picture of any size, float32[1 3 -1 -1], to a map of it, float32[1 1 -1 -1]")
	}
	return m.Inputs[0].Name, m.Outputs[0].Name, nil
}

func (d *recogniseModel) open(m Model) (in, out string, err error) {
	height := int64(d.Height.Value)
	if len(m.Inputs) != 1 || len(m.Outputs) != 1 || !takes(m.Inputs[0], 1, 3, height, -1) || !takes(m.Outputs[0], 1, -1, anySize) {
		return "", "", misfit(d.Model.Pos, "ocr.recognise.model", signature(m), fmt.Sprintf("a line of any width, float32[1 3 %d -1], to its characters, float32[1 -1 CLASSES]", height))
	}
	return m.Inputs[0].Name, m.Outputs[0].Name, nil
}

// anySize is a dimension that a model may leave open or not.
const anySize = -2

// takes says whether a value can be float32 of a shape, of which the dimensions that are -1 must be
// open.
func takes(v onnx.ValueInfo, shape ...int64) bool {
	if v.Type != tensor.Float32 || v.Shape != nil && len(v.Shape) != len(shape) {
		return false
	}
	for i, n := range v.Shape {
		if n >= 0 && n != shape[i] && shape[i] != anySize {
			return false
		}
	}
	return true
}

func signature(m Model) string {
	return fmt.Sprintf("a model from %v to %v", m.Inputs, m.Outputs)
}

// decoder makes one of the characters' file: class 0 says nothing, then comes a class for each line,
// and then one for the space if the model has it.
func (d *recogniseModel) decoder(b *binder) (*ctc.Decoder, error) {
	fail := func(seen, expected string) (*ctc.Decoder, error) {
		return nil, misfit(d.Characters.Pos, "ocr.recognise.characters", seen, expected)
	}
	list, err := lines(b.files[d.Characters.Value], maxLabels)
	if err != nil {
		return fail(d.Characters.Value+": "+err.Error(), "a character in each line")
	}
	tokens := append([]string{""}, list...)
	switch classes := classesOf(b.models[d.Model.Value]); classes {
	case int64(len(tokens)):
	case int64(len(tokens)) + 1, -1:
		tokens = append(tokens, " ")
	default:
		return fail(fmt.Sprintf("%d lines in %s", len(list), d.Characters.Value),
			fmt.Sprintf("%d, or one more: the model has %d classes, with the blank and perhaps the space", classes-2, classes))
	}
	decoder, err := ctc.FromTokens(tokens, ctc.Options{})
	if err != nil {
		return fail(d.Characters.Value+": "+err.Error(), "a character in each line, and none empty")
	}
	b.hold(decoder.Bytes())
	return decoder, nil
}

func classesOf(m Model) int64 {
	if shape := m.Outputs[0].Shape; len(shape) == 3 {
		return shape[2]
	}
	return -1
}
