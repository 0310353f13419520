package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/sample"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// imageOperators read images between their elements.
func imageOperators() map[string]Spec {
	return map[string]Spec{
		"Resize":     {MinIn: 2, MaxIn: 4, MaxOut: 1, Make: makeResize, Since: 10},
		"Upsample":   {MinIn: 1, MaxIn: 2, MaxOut: 1, Make: makeUpsample, Since: 7},
		"GridSample": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeGridSample, Since: 16},
		"AffineGrid": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeAffineGrid, Since: 20},
		"RoiAlign":   {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeRoiAlign, Since: 10},
	}
}

// resize makes an array larger or smaller along its dimensions. Which operands hold
// the region, the scales and the sizes depends on the operator set; 0: none.
type resize struct {
	mode, rounding, coordinate string
	policy                     string // keep_aspect_ratio_policy
	cubic                      float64
	exclude, antialias         bool
	extrapolation              float64
	axes                       []int64
	named                      bool // axes are given
	roi, scales, sizes         int
	scale                      []float32 // from the attribute of Upsample
}

func makeUpsample(a *Attributes, opset int64) (Operator, error) {
	o := resize{mode: a.oneOf("mode", "nearest", "linear"), rounding: "simple", coordinate: "asymmetric", policy: "stretch"}
	if opset >= 9 {
		o.scales = 1
		return o, nil
	}
	atMost(a, 1)
	o.scale, _ = a.floats("scales")
	if o.scale == nil {
		return nil, errors.New(`attribute "scales" is required`)
	}
	return o, nil
}

func makeResize(a *Attributes, opset int64) (Operator, error) {
	if opset < 11 {
		atMost(a, 2)
		return resize{mode: a.oneOf("mode", "nearest", "linear"), rounding: "simple", coordinate: "asymmetric", policy: "stretch", scales: 1}, nil
	}
	o := resize{roi: 1, scales: 2, sizes: 3, policy: "stretch"}
	o.mode = a.oneOf("mode", "nearest", "linear", "cubic")
	o.rounding = a.oneOf("nearest_mode", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
	modes := []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "half_pixel_symmetric", "tf_half_pixel_for_nn"}
	if opset >= 13 {
		modes = modes[:6] // the last one is of operator set 11 only
	}
	o.coordinate = a.oneOf("coordinate_transformation_mode", modes...)
	o.cubic = float64(a.float("cubic_coeff_a", -0.75))
	o.exclude = a.flag("exclude_outside", false)
	o.extrapolation = float64(a.float("extrapolation_value", 0))
	if opset >= 18 {
		o.antialias = a.flag("antialias", false)
		o.axes, o.named = a.ints("axes")
		o.policy = a.oneOf("keep_aspect_ratio_policy", "stretch", "not_larger", "not_smaller")
	}
	if o.antialias && o.mode == "nearest" {
		return nil, errors.New(`attribute "antialias" is not possible with mode "nearest"`)
	}
	return o, nil
}

func (o resize) Infer(in []*Info) ([]Info, error) {
	if err := o.check(in); err != nil {
		return nil, err
	}
	if !in[0].Ranked {
		return []Info{unranked(in[0].Type)}, nil
	}
	axes, known, err := o.plan(in)
	if err != nil {
		return nil, err
	}
	if !known {
		return []Info{ranked(in[0].Type, o.partly(in)...)}, nil
	}
	shape := make([]int64, len(axes))
	for d, a := range axes {
		shape[d] = int64(a.Out)
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// partly is the result's shape when some dimensions are open: each is resized by itself,
// unless the aspect ratio is kept, so those that are known do not depend on the others.
func (o resize) partly(in []*Info) []int64 {
	shape := openShape(len(in[0].Shape))
	if o.policy != "stretch" {
		return shape
	}
	assumed := Info{Type: in[0].Type, Ranked: true, Shape: slices.Clone(in[0].Shape)}
	for d, n := range assumed.Shape {
		assumed.Shape[d] = max(n, 1)
	}
	axes, known, err := o.plan(append([]*Info{&assumed}, in[1:]...))
	if err != nil || !known { // what is wrong is said when all is known
		return shape
	}
	for d, n := range in[0].Shape {
		if n > 0 {
			shape[d] = int64(axes[d].Out)
		}
	}
	return shape
}

func (o resize) check(in []*Info) error {
	if err := needTensor(in, 0); err != nil {
		return err
	}
	if o.mode != "nearest" {
		if err := needType(in, 0, numberTypes()...); err != nil {
			return err
		}
	}
	if o.roi > 0 && present(in, o.roi) {
		if err := needType(in, o.roi, tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16); err != nil {
			return err
		}
	}
	if o.scales > 0 && present(in, o.scales) {
		if err := needType(in, o.scales, tensor.Float32); err != nil {
			return err
		}
		if err := needRank(in, o.scales, 1, "a list"); err != nil {
			return err
		}
	}
	if o.sizes > 0 && present(in, o.sizes) {
		return needVector(in, o.sizes)
	}
	return nil
}

// plan says how each dimension is resized, as far as the operands are known.
func (o resize) plan(in []*Info) (axes []sample.Axis, known bool, err error) {
	shape := in[0].Shape
	scales, sizes, known, err := o.asked(in)
	if err != nil || !known {
		return nil, false, err
	}
	named := o.axes
	if !o.named {
		named = counting(len(shape))
	}
	if _, err := axesSet(named, len(shape)); err != nil {
		return nil, false, attributeError("axes", err)
	}
	if n := max(len(scales), len(sizes)); n != len(named) {
		return nil, false, BadInput(o.operandAsked(scales != nil), "has %d entries for %d dimensions", n, len(named))
	}
	region, err := o.region(in, len(named))
	if err != nil || region == nil || !in[0].Complete() {
		return nil, false, err
	}
	axes = make([]sample.Axis, len(shape))
	for d, n := range shape {
		axes[d] = sample.Axis{In: int(n), Out: int(n), Scale: 1, Coordinate: o.coordinate, High: 1}
	}
	for i, a := range named {
		d, _ := axis(a, len(shape))
		axes[d].Low, axes[d].High = region[i], region[len(named)+i]
		if scales != nil {
			err = byScale(&axes[d], scales[i])
		} else {
			err = bySize(&axes[d], sizes[i])
		}
		if err != nil {
			return nil, false, &OperandError{o.operandAsked(scales != nil), err}
		}
	}
	if sizes != nil && o.policy != "stretch" {
		return axes, true, o.keepAspect(axes, named)
	}
	return axes, true, nil
}

func (o resize) operandAsked(scales bool) int {
	if scales {
		return o.scales
	}
	return o.sizes
}

// asked returns the scales or the sizes: one of them, and not empty.
func (o resize) asked(in []*Info) (scales []float32, sizes []int64, known bool, err error) {
	if o.scale != nil {
		return o.scale, nil, true, nil
	}
	withScales, withSizes := filled(in, o.scales), filled(in, o.sizes)
	switch {
	case withScales && withSizes && o.sizes > 0 && in[o.scales].Complete() && in[o.sizes].Complete():
		return nil, nil, false, BadInput(o.sizes, "and scales exclude each other")
	case !withScales && !withSizes:
		return nil, nil, false, BadInput(o.scales, "or sizes are required")
	case withSizes && in[o.sizes].Value != nil:
		return nil, tensor.Data[int64](in[o.sizes].Value), true, nil
	case withScales && !withSizes && in[o.scales].Value != nil:
		return tensor.Data[float32](in[o.scales].Value), nil, true, nil
	}
	return nil, nil, false, nil
}

// filled says whether an operand is there and may have elements: an empty one stands
// for one that is left out.
func filled(in []*Info, i int) bool {
	return i > 0 && present(in, i) && !(in[i].Complete() && slices.Contains(in[i].Shape, 0))
}

// region is what tf_crop_and_resize reads: the beginnings of all dimensions, then the
// ends, as parts of their sizes. It is nil if it is not known yet.
func (o resize) region(in []*Info, n int) ([]float64, error) {
	region := append(make([]float64, n), slices.Repeat([]float64{1}, n)...)
	if o.coordinate != "tf_crop_and_resize" {
		return region, nil
	}
	if !filled(in, o.roi) {
		return nil, BadInput(o.roi, "is required by tf_crop_and_resize")
	}
	if in[o.roi].Value == nil {
		return nil, nil
	}
	given := float64sOf(in[o.roi].Value)
	if len(given) != len(region) {
		return nil, BadInput(o.roi, "has %d entries for %d dimensions", len(given), n)
	}
	return given, nil
}

// byScale sets a dimension's size by its scale, in float32 as the specification's own
// inference does.
func byScale(a *sample.Axis, scale float32) error {
	size := math.Floor(float64(float32(a.In) * scale))
	if !(scale > 0) || !(size <= math.MaxInt32) {
		return fmt.Errorf("asks for %v times dimension %d", scale, a.In)
	}
	a.Scale, a.Out = float64(scale), int(size)
	return nil
}

func bySize(a *sample.Axis, size int64) error {
	if size < 0 || size > math.MaxInt32 || size > 0 && a.In == 0 {
		return fmt.Errorf("asks for %d elements of dimension %d", size, a.In)
	}
	a.Out = int(size)
	if a.In > 0 {
		a.Scale = float64(size) / float64(a.In)
	}
	return nil
}

// keepAspect gives all named dimensions the smallest of their scales (not_larger) or
// the greatest (not_smaller).
func (o resize) keepAspect(axes []sample.Axis, named []int64) error {
	scale := math.Inf(1)
	if o.policy == "not_smaller" {
		scale = 0
	}
	for _, a := range named {
		d, _ := axis(a, len(axes))
		if o.policy == "not_larger" {
			scale = min(scale, axes[d].Scale)
		} else {
			scale = max(scale, axes[d].Scale)
		}
	}
	for _, a := range named {
		d, _ := axis(a, len(axes))
		size := math.Floor(scale*float64(axes[d].In) + 0.5)
		if !(size <= math.MaxInt32) {
			return BadInput(o.sizes, "asks for %v times dimension %d", scale, axes[d].In)
		}
		axes[d].Scale, axes[d].Out = scale, int(size)
	}
	return nil
}

func (o resize) Run(env *Env, in, out []*tensor.Tensor) error {
	axes, _, err := o.plan(infosOf(in))
	if err != nil {
		return err
	}
	if slices.Contains(in[0].Shape, 0) {
		return BadInput(0, "has shape %v, there is nothing to resize", in[0].Shape)
	}
	if o.mode == "nearest" {
		return o.nearest(env, axes, in[0], out[0])
	}
	if in[0].Type == tensor.Float32 {
		return interpolate[float32](env, o, axes, in[0], out[0])
	}
	return o.converted(env, axes, in[0], out[0])
}

// nearest moves elements, whatever they are.
func (o resize) nearest(env *Env, axes []sample.Axis, in, out *tensor.Tensor) error {
	index := make([][]int64, len(axes))
	for d, a := range axes {
		if unchanged(a) {
			continue
		}
		var err error
		if index[d], err = newList(env, int64(a.Out)); err != nil {
			return err
		}
		a.Nearest(index[d], o.rounding)
	}
	if o.coordinate == "tf_crop_and_resize" {
		value, err := tensor.New(in.Type, nil)
		if err != nil {
			return err
		}
		fromFloat64s(value, []float64{o.extrapolation})
		if err := expand(env, out, value); err != nil {
			return err
		}
	}
	return takeGrid(env, out, in, index)
}

// unchanged says whether a dimension stays as it is.
func unchanged(a sample.Axis) bool {
	return a.In == a.Out && math.Abs(a.Scale-1) < 1e-9 && (a.Coordinate != "tf_crop_and_resize" || a.Low == 0 && a.High == 1)
}

// weights is how a dimension is interpolated.
func (o resize) weights(a sample.Axis) (sample.Weights, error) {
	const mostTaps = 1 << 16
	reach := map[string]float64{"linear": 1, "cubic": 2}[o.mode]
	switch {
	case o.antialias && reach/a.Scale > mostTaps:
		return sample.Weights{}, BadInput(0, "is shrunk by %v", a.Scale)
	case o.antialias && o.mode == "linear":
		return sample.Wide(a.Scale, reach, sample.Triangle), nil
	case o.antialias:
		return sample.Wide(a.Scale, reach, sample.Bump(o.cubic)), nil
	case o.mode == "linear":
		return sample.Linear(), nil
	}
	return sample.Cubic(o.cubic), nil
}

// converted interpolates what is not float32 as float64.
func (o resize) converted(env *Env, axes []sample.Axis, in, out *tensor.Tensor) error {
	from, err := env.New(tensor.Float64, in.Shape)
	if err != nil {
		return err
	}
	to, err := env.New(tensor.Float64, out.Shape)
	if err != nil {
		return err
	}
	reader[float64](in)(tensor.Data[float64](from), 0, 1)
	if err := interpolate[float64](env, o, axes, from, to); err != nil {
		return err
	}
	fromFloat64s(out, tensor.Data[float64](to))
	return nil
}

// interpolate resizes one dimension after the other: first those that become smaller,
// then the others from the last, so that there is little to do early and long rows to
// do late.
func interpolate[F float32 | float64](env *Env, o resize, axes []sample.Axis, in, out *tensor.Tensor) error {
	var order []int
	for d := len(axes) - 1; d >= 0; d-- {
		if !unchanged(axes[d]) {
			order = append(order, d)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return boolOrder(axes[a].Out < axes[a].In, axes[b].Out < axes[b].In) })
	if len(order) == 0 {
		return copyAll(env, out, in)
	}
	for i, d := range order {
		next := out
		if i < len(order)-1 {
			shape := slices.Clone(in.Shape)
			shape[d] = int64(axes[d].Out)
			var err error
			if next, err = env.New(in.Type, shape); err != nil {
				return err
			}
		}
		if err := resizeAlong[F](env, o, axes[d], in, next, d); err != nil {
			return err
		}
		in = next
	}
	return nil
}

// resizeAlong resizes dimension d, some of its elements at a time, so that what is known of
// them does not take more memory than they do.
func resizeAlong[F float32 | float64](env *Env, o resize, a sample.Axis, in, out *tensor.Tensor, d int) error {
	const some = 1 << 14
	w, err := o.weights(a)
	if err != nil {
		return err
	}
	lanes := kernel.LanesOf(in.Shape, d)
	b := sample.Block{Outer: lanes.Outer, In: lanes.N, Out: a.Out, Inner: lanes.Inner}
	for first := 0; first < a.Out; first += some {
		taps := a.Taps(first, min(some, a.Out-first), w, o.exclude, o.extrapolation)
		if err := sample.Apply(env.On, taps, floatsOf[F](out), floatsOf[F](in), b, first); err != nil {
			return err
		}
	}
	return nil
}

func floatsOf[F float32 | float64](t *tensor.Tensor) []F {
	data, _ := any(tensor.Data[float32](t)).([]F)
	if data == nil {
		data, _ = any(tensor.Data[float64](t)).([]F)
	}
	return data
}

// boolOrder puts true first.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
