package pipeline

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/model/pipeline/ctc"
	"github.com/blindbox/blindbox/model/pipeline/ocr"
	"github.com/blindbox/blindbox/model/pipeline/picture"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// ocrRunner is an ocrTask ready to run.
type ocrRunner struct {
	detect, detectIn, detectOut string // the models, and the names of their values
	recognise, lineIn, lineOut  string
	side, shorter, height       int
	values                      picture.Values
	find                        ocr.Find
	decoder                     *ctc.Decoder
	score                       float32
	turn                        *turner // nil: lines are as they are
}

// inputs: one picture, for the lines of several could not be told apart.
func (r *ocrRunner) inputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{{Name: "image", Type: tensor.String, Shape: []int64{1}, Symbols: make([]string, 1)}}
}

func (r *ocrRunner) outputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result("text", tensor.String), result("score", tensor.Float32), result("box", tensor.Float32, 4, 2)}
}

// needs is what decoding takes, or the picture with what is made of it and of its map.
func (r *ocrRunner) needs(in map[string]*tensor.Tensor) int64 {
	file := tensor.Data[string](in["image"])
	if len(file) != 1 {
		return 0
	}
	head, err := picture.ReadHeader([]byte(file[0]), picture.DefaultLimits())
	if err != nil {
		return 0
	}
	w, h := ocr.Size(head.W, head.H, r.side, r.shorter)
	wide, _ := ocr.LineWidth(math.MaxInt32, 1, r.height)
	// A pixel of the detector: three bytes, three values, the mask and half a run. A line: a cut
	// that is at most twice the picture, turned, and its values twice.
	const detect, cut, line = 3 + 3*4 + 1 + 8, 2 * 2 * 3, 2 * 3 * 4
	pixels := int64(head.W) * int64(head.H)
	return max(head.Bytes, 3*pixels+max(detect*int64(w)*int64(h), cut*pixels+line*int64(wide)*int64(r.height)))
}

// page is what was read.
type page struct {
	text  []string
	score []float32
	box   []float32 // four corners of each
	bytes int       // of the text
}

func (r *ocrRunner) run(ctx context.Context, in map[string]*tensor.Tensor, ask Ask) (map[string]*tensor.Tensor, error) {
	m, err := decodeImage(ctx, tensor.Data[string](in["image"])[0], 0)
	if err != nil {
		return nil, err
	}
	boxes, err := r.boxes(ctx, m, ask)
	if err != nil {
		return nil, err
	}
	p := page{text: []string{}, score: []float32{}, box: []float32{}}
	for _, box := range boxes {
		line, err := r.read(ctx, m, box, ask)
		if err != nil {
			return nil, err
		}
		if err := p.add(line, box, r.score); err != nil {
			return nil, err
		}
	}
	n := int64(len(p.text))
	return map[string]*tensor.Tensor{"text": tensor.Of(p.text, n), "score": tensor.Of(p.score, n), "box": tensor.Of(p.box, n, 4, 2)}, nil
}

// add keeps a line that says something.
func (p *page) add(line ctc.Text, box ocr.Quad, least float32) error {
	if line.Text == "" || !(line.Score >= least) {
		return nil
	}
	if p.bytes += len(line.Text); p.bytes > maxText {
		return errMuchText
	}
	p.text, p.score = append(p.text, line.Text), append(p.score, line.Score)
	for _, corner := range box {
		p.box = append(p.box, float32(corner.X), float32(corner.Y))
	}
	return nil
}

// boxes asks the detector where lines are, and returns them in reading order.
func (r *ocrRunner) boxes(ctx context.Context, m *picture.Image, ask Ask) ([]ocr.Quad, error) {
	w, h := ocr.Size(m.W, m.H, r.side, r.shorter)
	small, err := m.Linear(ctx, w, h)
	if err != nil {
		return nil, err
	}
	data := make([]float32, 3*w*h)
	if err := r.values.Write(ctx, data, small); err != nil {
		return nil, err
	}
	found, err := r.mark(ctx, data, w, h, ask)
	if err != nil {
		return nil, err
	}
	boxes, err := r.find.Boxes(ctx, found, m.W, m.H)
	ocr.Sort(boxes)
	return boxes, err
}

// mark runs the detector.
func (r *ocrRunner) mark(ctx context.Context, data []float32, w, h int, ask Ask) (ocr.Map, error) {
	out, err := ask(ctx, r.detect, map[string]*tensor.Tensor{r.detectIn: tensor.Of(data, 1, 3, int64(h), int64(w))})
	if err != nil {
		return ocr.Map{}, err
	}
	values, err := answered(out[r.detectOut], 1, 1, int64(h), int64(w))
	if err != nil {
		return ocr.Map{}, fmt.Errorf("pipeline: %s: %w", r.detect, err)
	}
	return ocr.Map{Values: values, W: w, H: h}, nil
}

// read asks what is written in a box.
func (r *ocrRunner) read(ctx context.Context, m *picture.Image, box ocr.Quad, ask Ask) (ctc.Text, error) {
	cut, err := ocr.Cut(ctx, m, box)
	if err == nil && r.turn != nil {
		cut, err = r.turn.upright(ctx, cut, ask)
	}
	if err != nil {
		return ctc.Text{}, err
	}
	line, err := ocr.LineOf(ctx, cut, r.height)
	if err != nil {
		return ctc.Text{}, err
	}
	return r.say(ctx, line, ask)
}

// say runs the reader.
func (r *ocrRunner) say(ctx context.Context, line ocr.Line, ask Ask) (ctc.Text, error) {
	out, err := ask(ctx, r.recognise, map[string]*tensor.Tensor{r.lineIn: tensor.Of(line.Values, 1, 3, int64(line.Height), int64(line.Width))})
	if err != nil {
		return ctc.Text{}, err
	}
	scores, err := answered(out[r.lineOut], 1, -1, int64(r.decoder.Classes()))
	if err != nil {
		return ctc.Text{}, fmt.Errorf("pipeline: %s: %w", r.recognise, err)
	}
	return r.decoder.Decode(ctx, scores)
}

// answered returns the elements of a model's answer if that has a shape; -1 is any size.
func answered(t *tensor.Tensor, shape ...int64) ([]float32, error) {
	if t == nil || t.Check() != nil {
		return nil, fmt.Errorf("no answer, expected float32%v", shape)
	}
	same := func(have, want int64) bool { return want < 0 || have == want }
	if t.Type != tensor.Float32 || !slices.EqualFunc(t.Shape, shape, same) {
		return nil, fmt.Errorf("%v%v, expected float32%v", t.Type, t.Shape, shape)
	}
	return tensor.Data[float32](t), nil
}

// try asks for a small picture and a line: whether the answers have the form that they need does
// not depend on the size.
func (r *ocrRunner) try(ctx context.Context, ask Ask) error {
	side := min(r.side, 128)
	w, h := ocr.Size(side, side, side, 0)
	if _, err := r.mark(ctx, make([]float32, 3*w*h), w, h, ask); err != nil {
		return fmt.Errorf("pipeline.yaml: ocr.detect: %w", err)
	}
	if r.turn != nil {
		if _, err := r.turn.upright(ctx, picture.New(192, 48), ask); err != nil {
			return fmt.Errorf("pipeline.yaml: ocr.turn: %w", err)
		}
	}
	wide, _ := ocr.LineWidth(1, 1, r.height)
	line := ocr.Line{Values: make([]float32, 3*r.height*wide), Height: r.height, Width: wide}
	if _, err := r.say(ctx, line, ask); err != nil {
		return fmt.Errorf("pipeline.yaml: ocr.recognise: %w", err)
	}
	return nil
}
