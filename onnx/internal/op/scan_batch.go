package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// batchScan is Scan of operator set 8: every operand has a batch in front, and the
// first one says how long each of its sequences is. That one must be left out: later
// operator sets have no such thing, and no exporter is known to have used it.
type batchScan struct {
	maker
	scan scan
}

func (o batchScan) Infer(in []*Info) ([]Info, error) {
	if in[0] != nil {
		return nil, BadInput(0, "lengths of sequences are not supported")
	}
	own := o.scan.carried + len(o.scan.in)
	inner := make([]*Info, len(in)-1)
	for i, v := range in[1:] {
		if v == nil {
			return nil, BadInput(i+1, "is required")
		}
		inner[i] = v
		if i >= own || !v.Ranked {
			continue
		}
		if len(v.Shape) == 0 {
			return nil, BadInput(i+1, "is a scalar, expected a batch")
		}
		one := ranked(v.Type, v.Shape[1:]...)
		inner[i] = &one
	}
	out, err := o.scan.Infer(inner)
	if err != nil {
		return nil, err
	}
	for i, v := range out {
		out[i] = stackedInfo(v, 0)
	}
	return out, nil
}

func (o batchScan) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	in = in[1:]
	own := o.scan.carried + len(o.scan.in)
	batch := in[0].Shape[0]
	if batch == 0 {
		return nil, BadInput(1, "has an empty batch")
	}
	gathered := make([][]*tensor.Tensor, o.scan.carried+len(o.scan.out))
	for b := range batch {
		one := make([]*tensor.Tensor, len(in))
		copy(one, in)
		for i := range own {
			if in[i].Shape[0] != batch {
				return nil, BadInput(i+1, "has a batch of %d, input 1 has %d", in[i].Shape[0], batch)
			}
			var err error
			if one[i], err = sliceAt(env, in[i], 0, b); err != nil {
				return nil, err
			}
		}
		out, err := o.scan.Make(env, one)
		if err != nil {
			return nil, err
		}
		if err := keepAll(env, gathered, out); err != nil {
			return nil, err
		}
	}
	results := make([]*tensor.Tensor, len(gathered))
	for i, list := range gathered {
		var err error
		if results[i], err = stack(env, list, 0, false); err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
	}
	return results, nil
}
