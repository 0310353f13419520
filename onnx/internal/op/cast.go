package op

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/narrow"
	"github.com/blindbox/blindbox/onnx/tensor"
)

func castOperators() map[string]Spec {
	return map[string]Spec{
		"Cast":     {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeCast},
		"CastLike": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeCastLike, Since: 15},
	}
}

// cast converts numbers, bools and strings to the type to, or if that is undefined
// to the type of operand 1.
type cast struct {
	to tensor.DataType
	narrowing
}

func makeCast(a *Attributes, opset int64) (Operator, error) {
	a.need("to")
	o := cast{to: targetType(a, opset), narrowing: narrowingOf(a, opset)}
	if !castable(o.to) {
		return nil, fmt.Errorf(`attribute "to" is %s, which is no type to cast to`, o.to)
	}
	return o, nil
}

func makeCastLike(a *Attributes, opset int64) (Operator, error) {
	return cast{narrowing: narrowingOf(a, opset)}, nil
}

// targetType reads the attribute to. In the first operator sets it was a name.
func targetType(a *Attributes, opset int64) tensor.DataType {
	if opset < 6 {
		return typeNamed(a.string("to", ""))
	}
	return tensor.TypeNumbered(a.int("to", 0))
}

// typeNamed finds a type by the name that TensorProto.DataType gives it.
func typeNamed(name string) tensor.DataType {
	name = strings.ToLower(name)
	switch name {
	case "float":
		return tensor.Float32
	case "double":
		return tensor.Float64
	}
	for _, t := range tensor.Types() {
		if t.String() == name {
			return t
		}
	}
	return 0
}

func narrowingOf(a *Attributes, opset int64) narrowing {
	n := narrowing{saturate: true}
	if opset >= 19 {
		n.saturate = a.flag("saturate", true)
	}
	if opset >= 24 {
		n.mode = map[string]narrow.Rounding{"up": narrow.Up, "down": narrow.Down, "nearest": narrow.Nearest}[a.oneOf("round_mode", "up", "down", "nearest")]
	}
	return n
}

func castable(t tensor.DataType) bool {
	return classOf(t) != none || t == tensor.Bool || t == tensor.String
}

func (o cast) Infer(in []*Info) ([]Info, error) {
	to := o.to
	for i := range in {
		if in[i] == nil {
			return nil, BadInput(i, "is required")
		}
		if !castable(in[i].Type) {
			return nil, BadInput(i, "is %s, which cannot be cast", in[i].Type)
		}
		if i == 1 {
			to = in[1].Type
		}
	}
	return []Info{like(in[0], to)}, nil
}

// Cheap: weights may be stored in another type than they are used in.
func (o cast) Cheap() {}

func (o cast) Run(env *Env, in, out []*tensor.Tensor) error {
	from, to := in[0], out[0]
	if f := castVectors(env.On.Level, to, from); f != nil {
		return rows(env.On, to.Len(), 1, f)
	}
	switch {
	case from.Type == to.Type:
		return move(env, to, 0, from, kernel.Dense(from.Shape), from.Shape)
	case from.Type == tensor.String:
		return o.parse(env, to, tensor.Data[string](from))
	case to.Type == tensor.String:
		return format(env, tensor.Data[string](to), from)
	case classOf(from.Type) == signed:
		return convert(env, to.Len(), reader[int64](from), narrowWriter[int64](to, o.narrowing))
	case classOf(from.Type) == floating:
		return convert(env, to.Len(), reader[float64](from), narrowWriter[float64](to, o.narrowing))
	}
	return convert(env, to.Len(), reader[uint64](from), narrowWriter[uint64](to, o.narrowing))
}

// parse reads strings that are numbers. Those that are not end the run: what they
// would mean is undefined.
func (o cast) parse(env *Env, to *tensor.Tensor, from []string) error {
	putFloat, putInt := narrowWriter[float64](to, o.narrowing), narrowWriter[int64](to, o.narrowing)
	for i, s := range from {
		if i%block == 0 {
			if err := env.On.Err(); err != nil {
				return err
			}
		}
		if v, err := strconv.ParseInt(s, 10, 64); err == nil && classOf(to.Type) != floating {
			putInt([]int64{v}, i, 1)
			continue
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return BadInput(0, "element %d is %s, which is no number", i, Quote(s))
		}
		putFloat([]float64{v}, i, 1)
	}
	return nil
}

// format writes numbers as the shortest text that reads back as the same number.
func format(env *Env, to []string, from *tensor.Tensor) error {
	at := 0
	put := func(s string) { to[at] = s; at++ }
	switch classOf(from.Type) {
	case signed:
		return each(env, from, func(x int64) { put(strconv.FormatInt(x, 10)) })
	case floating:
		bits := 32
		if from.Type == tensor.Float64 {
			bits = 64
		}
		return each(env, from, func(x float64) { put(formatFloat(x, bits)) })
	}
	return each(env, from, func(x uint64) { put(strconv.FormatUint(x, 10)) })
}

func formatFloat(x float64, bits int) string {
	switch abs := math.Abs(x); {
	case x != x:
		return "NaN"
	case math.IsInf(x, 1):
		return "INF"
	case math.IsInf(x, -1):
		return "-INF"
	case abs != 0 && (abs < 1e-4 || abs >= 1e16):
		return strconv.FormatFloat(x, 'e', -1, bits)
	}
	return strconv.FormatFloat(x, 'f', -1, bits)
}
