package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/model/pipeline/picture"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// imageInput makes of photographs what models of pictures take.
type imageInput struct {
	Pos      strictyaml.Pos
	Resize   integer   `yaml:"resize"` // of the shorter side
	Crop     integer   `yaml:"crop"`   // out of the middle
	Size     []integer `yaml:"size"`   // height and width, whatever the proportion
	Filter   word      `yaml:"filter"`
	Channels word      `yaml:"channels"`
	Layout   word      `yaml:"layout"`
	Mean     []number  `yaml:"mean"`
	Std      []number  `yaml:"std"`
}

// maxImageSide bounds what a model gets: 48 MiB of values where both sides are so long.
const maxImageSide = 2048

func (d *imageInput) check(c *checker, path string) {
	switch {
	case given(d.Resize) == (d.Size != nil):
		c.refuse(d.Pos, path, "neither or both of resize and size", "one of them, which says how large pictures are made")
	case given(d.Resize):
		c.between(d.Resize, path+".resize", 1, maxImageSide)
		if given(d.Crop) {
			c.between(d.Crop, path+".crop", 1, max(d.Resize.Value, 1))
		}
	case given(d.Crop):
		c.refuse(d.Crop.Pos, path+".crop", strconv.Itoa(d.Crop.Value), "resize before it, and not size")
	case len(d.Size) != 2:
		c.refuse(d.Pos, path+".size", fmt.Sprintf("%d numbers", len(d.Size)), "[HEIGHT, WIDTH]")
	}
	for i, n := range d.Size {
		c.between(n, fmt.Sprintf("%s.size[%d]", path, i), 1, maxImageSide)
	}
	checkWord(c, d.Filter, path+".filter", filterNames()...)
	checkWord(c, d.Channels, path+".channels", "rgb", "bgr", "gray")
	checkWord(c, d.Layout, path+".layout", "nchw", "nhwc")
	d.order().check(c, d.Pos, path, d.Mean, d.Std)
}

// checkWord refuses a word that is given and none of those.
func checkWord(c *checker, w word, path string, words ...string) {
	if given(w) {
		c.oneOf(w, path, words...)
	}
}

func filterNames() (names []string) {
	for _, f := range picture.Filters() {
		names = append(names, f.Name)
	}
	return names
}

func (d *imageInput) order() channels {
	return channels{map[string]picture.Order{"": picture.RGB, "rgb": picture.RGB, "bgr": picture.BGR, "gray": picture.Gray}[d.Channels.Value]}
}

// channels are those of a model, with what its values are made with.
type channels struct{ picture.Order }

func (o channels) check(c *checker, p strictyaml.Pos, path string, mean, std []number) {
	o.list(c, p, path+".mean", mean, -1000, 1000)
	o.list(c, p, path+".std", std, 1e-6, 1e6)
}

func (o channels) list(c *checker, p strictyaml.Pos, path string, list []number, low, high float64) {
	if list != nil && len(list) != o.Channels() {
		c.refuse(p, path, fmt.Sprintf("%d numbers", len(list)), fmt.Sprintf("%d, one for each channel in the model's order", o.Channels()))
	}
	for i, n := range list {
		c.within(n, fmt.Sprintf("%s[%d]", path, i), low, high)
	}
}

// values is how pixels become numbers. Without mean and std they are from 0 to 1.
func (o channels) values(mean, std []number) picture.Values {
	v := picture.Values{Order: o.Order, Std: [3]float32{1, 1, 1}}
	for i, n := range mean {
		v.Mean[i] = float32(n.Value)
	}
	for i, n := range std {
		v.Std[i] = float32(n.Value)
	}
	return v
}

func (d *imageInput) open(_ *binder, m Model, path string) (source, error) {
	s := &imageSource{resize: d.Resize.Value, crop: d.Crop.Value, filter: picture.Bilinear(), values: d.order().values(d.Mean, d.Std)}
	s.values.Last = d.Layout.Value == "nhwc"
	for _, f := range picture.Filters() {
		if f.Name == d.Filter.Value {
			s.filter = f
		}
	}
	if d.Size != nil {
		s.h, s.w = d.Size[0].Value, d.Size[1].Value
	}
	if len(m.Inputs) != 1 {
		return nil, misfit(d.Pos, path, fmt.Sprintf("a model with %d inputs (%s)", len(m.Inputs), names(m.Inputs)), "one, for pictures")
	}
	s.input = m.Inputs[0].Name
	return s, s.fits(d, m.Inputs[0], path)
}

// imageSource is an imageInput ready to run.
type imageSource struct {
	input        string // of the model
	resize, crop int    // 0: not
	w, h         int    // 0: the proportion stays
	filter       picture.Filter
	values       picture.Values
}

// shape is a picture's for the model; -1 is a side that depends on the picture.
func (s *imageSource) shape() []int64 {
	w, h := int64(s.w), int64(s.h)
	switch {
	case s.crop > 0:
		w, h = int64(s.crop), int64(s.crop)
	case s.resize > 0:
		w, h = -1, -1
	}
	return s.layout(w, h)
}

func (s *imageSource) layout(w, h int64) []int64 {
	channels := int64(s.values.Order.Channels())
	if s.values.Last {
		return []int64{1, h, w, channels}
	}
	return []int64{1, channels, h, w}
}

// fits compares a picture's shape with the model's.
func (s *imageSource) fits(d *imageInput, v onnx.ValueInfo, path string) error {
	want := s.shape()
	fits := v.Type == tensor.Float32 && (v.Shape == nil || len(v.Shape) == len(want))
	for i, n := range v.Shape {
		fits = fits && (n < 0 || n == want[i])
	}
	if !fits {
		return misfit(d.Pos, path, "a model with the input "+v.String(), fmt.Sprintf("float32%v, which these steps give (-1: of any size)", want))
	}
	return nil
}

func (s *imageSource) inputs() []onnx.ValueInfo {
	return []onnx.ValueInfo{result("image", tensor.String)}
}

func (s *imageSource) outputs() []onnx.ValueInfo { return nil }

// feed runs the model for one picture at a time, and holds no other.
func (s *imageSource) feed(ctx context.Context, in map[string]*tensor.Tensor, run func(batch) error) (map[string]*tensor.Tensor, error) {
	for i, file := range tensor.Data[string](in["image"]) {
		m, err := decodeImage(ctx, file, i)
		if err != nil {
			return nil, err
		}
		if m, err = s.small(ctx, m); err != nil {
			return nil, imageError(err, i)
		}
		t, err := s.tensor(ctx, m)
		if err != nil {
			return nil, err
		}
		if err := run(batch{in: map[string]*tensor.Tensor{s.input: t}, items: []int{i}}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// needs is what the largest of the pictures takes. A file that cannot be read takes nothing, and is
// refused when it is its turn.
func (s *imageSource) needs(in map[string]*tensor.Tensor) (most int64) {
	for _, file := range tensor.Data[string](in["image"]) {
		head, err := picture.ReadHeader([]byte(file), picture.DefaultLimits())
		if err != nil {
			continue
		}
		w, h := s.w, s.h
		if s.resize > 0 {
			w, h = (&picture.Image{W: head.W, H: head.H}).Shorter(s.resize)
		}
		if most = max(most, head.Bytes); w > picture.MaxSide || h > picture.MaxSide {
			continue // it is refused when it was decoded
		}
		const pixel, value = 3, 4
		wide, small := int64(w)*int64(head.H), int64(w)*int64(h)
		most = max(most, int64(head.W)*int64(head.H)*pixel+wide*pixel+small*(2*pixel+3*value))
	}
	return most
}

// decodeImage reads a picture's file, which is a caller's.
func decodeImage(ctx context.Context, file string, item int) (*picture.Image, error) {
	m, err := picture.Decode(ctx, []byte(file), picture.DefaultLimits())
	if err != nil {
		return nil, imageError(err, item)
	}
	return m, nil
}

// imageError says whose fault an error is.
func imageError(err error, item int) error {
	if errors.Is(err, picture.ErrFormat) || errors.Is(err, picture.ErrLimit) {
		return &InputError{"image", item, err}
	}
	return err
}

// small makes a picture as large as the document says.
func (s *imageSource) small(ctx context.Context, m *picture.Image) (*picture.Image, error) {
	w, h := s.w, s.h
	if s.resize > 0 {
		w, h = m.Shorter(s.resize)
	}
	m, err := m.Resize(ctx, w, h, s.filter)
	if err != nil || s.crop == 0 {
		return m, err
	}
	return m.Crop(s.crop, s.crop)
}

func (s *imageSource) tensor(ctx context.Context, m *picture.Image) (*tensor.Tensor, error) {
	data := make([]float32, m.W*m.H*s.values.Order.Channels())
	if err := s.values.Write(ctx, data, m); err != nil {
		return nil, err
	}
	return tensor.Of(data, s.layout(int64(m.W), int64(m.H))...), nil
}

// sample is a picture of the size that all have, if there is one.
func (s *imageSource) sample() batch {
	shape := s.shape()
	for i, n := range shape {
		if n < 0 {
			shape[i] = int64(s.resize)
		}
	}
	n, _ := tensor.Count(shape) // each side is at most maxImageSide
	return batch{in: map[string]*tensor.Tensor{s.input: tensor.Of(make([]float32, n), shape...)}, items: []int{0}}
}
