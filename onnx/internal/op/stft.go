package op

import (
	"errors"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// stft transforms frames of a signal of shape [batch, length, parts], which begin
// operand 1 numbers apart and are weighted by operand 2. Operand 3 is their length, if
// there is no window to tell it.
type stft struct{ onesided bool }

func makeSTFT(a *Attributes, _ int64) (Operator, error) {
	return stft{a.flag("onesided", true)}, nil
}

func (o stft) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, floatTypes()...); err != nil {
		return nil, err
	}
	if err := needScalar(in, 1, tensor.Int32, tensor.Int64); err != nil {
		return nil, err
	}
	if present(in, 2) {
		if err := needType(in, 2, in[0].Type); err != nil {
			return nil, err
		}
		if err := needRank(in, 2, 1, "a list"); err != nil {
			return nil, err
		}
	}
	if present(in, 3) {
		if err := needScalar(in, 3, tensor.Int32, tensor.Int64); err != nil {
			return nil, err
		}
	}
	if !in[0].Ranked {
		return []Info{ranked(in[0].Type, -1, -1, -1, 2)}, nil
	}
	return o.result(in)
}

func (o stft) result(in []*Info) ([]Info, error) {
	shape := in[0].Shape
	if len(shape) != 3 || shape[2] != 1 && shape[2] != 2 && shape[2] != -1 {
		return nil, BadInput(0, "has shape %v, expected [batch length 1] or [batch length 2]", shape)
	}
	step, length, err := o.frame(in)
	if err != nil {
		return nil, err
	}
	frames, bins := int64(-1), int64(-1)
	if length != -1 {
		if bins = length; o.onesided {
			bins = length/2 + 1
		}
		if step != -1 && shape[1] != -1 {
			if shape[1] < length {
				return nil, BadInput(0, "has %d numbers, a frame has %d", shape[1], length)
			}
			frames = 1 + (shape[1]-length)/step
		}
	}
	return []Info{ranked(in[0].Type, shape[0], frames, bins, 2)}, nil
}

// frame returns how far frames are apart and how long they are; -1 for what is not
// known.
func (o stft) frame(in []*Info) (step, length int64, err error) {
	step, known := in[1].number()
	if known && step < 1 {
		return 0, 0, BadInput(1, "is %d, expected frames at least 1 apart", step)
	}
	window := present(in, 2)
	length = -1
	switch {
	case present(in, 3):
		length, known = in[3].number()
		if known && (length < 1 || length > maxTransform) {
			return 0, 0, BadInput(3, "is %d, expected frames of 1 to %d numbers", length, maxTransform)
		}
	case window && in[2].Ranked:
		length = in[2].Shape[0]
	case !window:
		return 0, 0, errors.New("has neither a window nor a frame length")
	}
	if window && in[2].Ranked && in[2].Shape[0] != -1 && length != -1 && in[2].Shape[0] != length {
		return 0, 0, BadInput(2, "has %d numbers, a frame has %d", in[2].Shape[0], length)
	}
	if length == 0 || length > maxTransform {
		return 0, 0, BadInput(2, "has %d numbers, expected 1 to %d", length, maxTransform)
	}
	return step, length, nil
}

func (o stft) Run(env *Env, in, out []*tensor.Tensor) error {
	step, length, err := o.frame(infosOf(in))
	if err != nil {
		return err
	}
	window, err := spread(env, in, 2, []int64{length}, 1)
	if err != nil {
		return err
	}
	size, parts := int(in[0].Shape[1]), int(in[0].Shape[2])
	frames, bins := int(out[0].Shape[1]), int(out[0].Shape[2])
	t, x, err := newTransform(env, int(length))
	if err != nil {
		return err
	}
	values := newComplexes(in[0], out[0], parts)
	for i := range int(out[0].Shape[0]) * frames {
		if err := env.On.Err(); err != nil {
			return err
		}
		batch, frame := i/frames, i%frames
		values.read(x, (batch*size+frame*int(step))*parts, parts)
		for k, w := range window {
			x[k] *= complex(w, 0)
		}
		t.forward(x)
		values.write(x[:bins], i*bins, 1, false)
	}
	return nil
}
