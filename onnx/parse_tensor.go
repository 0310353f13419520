package onnx

import (
	"errors"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// tensorProto is a TensorProto before its pieces are known to agree.
type tensorProto struct {
	name    string
	typ     tensor.DataType
	dims    []int64
	raw     []byte         // raw_data that came before type and shape
	made    *tensor.Tensor // of raw_data that came after them, as writers order it
	hasRaw  bool
	floats  []float32
	doubles []float64
	ints32  []int32
	ints64  []int64
	uints64 []uint64
	texts   []string

	mirrors  bool           // it may be the transpose of a matrix that was read before
	mirrored *tensor.Tensor // that one, instead of made
	among    *graph.Graph   // the outermost graph, if it is stored there
}

// addWeights counts stored elements before memory is taken for them.
func (p *parser) addWeights(n int64) error {
	if n > p.lim.Weights-p.weights {
		return fmt.Errorf("stored tensors of more than %d elements together", p.lim.Weights)
	}
	p.weights += n
	return nil
}

// tensor reads a TensorProto. The name is returned with an error too, as far as
// it was read, for the message.
func (p *parser) tensor(f wire.Field) (string, *tensor.Tensor, error) {
	r, err := f.Message()
	if err != nil {
		return "", nil, err
	}
	return p.tensorMessage(r)
}

func (p *parser) tensorMessage(r *wire.Reader) (string, *tensor.Tensor, error) {
	var tp tensorProto
	t, err := p.tensorInto(&tp, r)
	return tp.name, t, err
}

// tensorInto reads a TensorProto into tp. The tensor is nil if it is a mirror.
func (p *parser) tensorInto(tp *tensorProto, r *wire.Reader) (*tensor.Tensor, error) {
	err := each(r, fields(1, 4, 5, 6, 7, 10, 11, 13, 16), func(f wire.Field) error {
		return p.tensorField(f, tp)
	})
	if err != nil {
		return nil, err
	}
	return p.assemble(tp)
}

var errExternal = errors.New("external data is refused: a model's weights must be inside its file")

func (p *parser) tensorField(f wire.Field, tp *tensorProto) (err error) {
	switch f.Number {
	case 1:
		err = f.Ints(func(d int64) error {
			if len(tp.dims) == p.lim.Rank {
				return tooMany(p.lim.Rank, "dimensions")
			}
			tp.dims = append(tp.dims, d)
			return nil
		})
	case 2:
		var t int64
		t, err = f.Int()
		tp.typ = tensor.TypeNumbered(t)
	case 3:
		err = errors.New("segments are not supported")
	case 8:
		tp.name, err = p.text(f)
	case 9:
		err = p.rawField(f, tp)
	case 12, 16: // notes
	case 13:
		err = errExternal
	case 14:
		var where int64
		if where, err = f.Int(); err == nil && where != 0 {
			err = errExternal
		}
	default:
		err = p.elementsField(f, tp)
	}
	return err
}

// elementsField reads elements that are stored one by one.
func (p *parser) elementsField(f wire.Field, tp *tensorProto) error {
	switch f.Number {
	case 4:
		return f.Floats(func(v float32) error {
			tp.floats = append(tp.floats, v)
			return p.addWeights(1)
		})
	case 5:
		return f.Ints(func(v int64) error {
			if v < math.MinInt32 || v > math.MaxInt32 {
				return fmt.Errorf("element %d does not fit into 32 bits", v)
			}
			tp.ints32 = append(tp.ints32, int32(v))
			return p.addWeights(1)
		})
	case 6:
		if err := p.addWeights(1); err != nil {
			return err
		}
		return p.texts(f, &tp.texts)
	case 7:
		return f.Ints(func(v int64) error {
			tp.ints64 = append(tp.ints64, v)
			return p.addWeights(1)
		})
	case 11:
		return f.Ints(func(v int64) error {
			tp.uints64 = append(tp.uints64, uint64(v))
			return p.addWeights(1)
		})
	case 10:
		return f.Doubles(func(v float64) error {
			tp.doubles = append(tp.doubles, v)
			return p.addWeights(1)
		})
	}
	return unknownField(f)
}
