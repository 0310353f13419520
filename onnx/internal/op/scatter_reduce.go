package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// joining says how an element that is there and one that comes become one: "none",
// "add", "mul", "max" or "min".
type joining string

// joiningFrom reads the attribute, which exists since operator set 16, and knows max
// and min since 18.
func joiningFrom(a *Attributes, opset int64) joining {
	switch {
	case opset < 16:
		return "none"
	case opset < 18:
		return joining(a.oneOf("reduction", "none", "add", "mul"))
	}
	return joining(a.oneOf("reduction", "none", "add", "mul", "max", "min"))
}

// needScatter checks the types of data, indices and updates.
func (j joining) needScatter(in []*Info) error {
	allowed := anyType()
	if j != "none" {
		allowed = numberTypes()
	}
	if err := needType(in, 0, allowed...); err != nil {
		return err
	}
	if err := needIndex(in, 1); err != nil {
		return err
	}
	return needType(in, 2, in[0].Type)
}

// scatter makes dst a copy of data and puts the runs of updates where starts says.
func (j joining) scatter(env *Env, dst, data, updates *tensor.Tensor, run int, starts kernel.Starts) error {
	if err := copyAll(env, dst, data); err != nil {
		return err
	}
	if j == "none" {
		return moverOf(dst.Type).put(env, dst, updates, run, starts)
	}
	join := map[tensor.DataType]func(joining, *Env, *tensor.Tensor, *tensor.Tensor, int, kernel.Starts) error{
		tensor.Float32: joinRuns[float32], tensor.Float64: joinRuns[float64],
		tensor.Int8: joinRuns[int8], tensor.Int16: joinRuns[int16], tensor.Int32: joinRuns[int32], tensor.Int64: joinRuns[int64],
		tensor.Uint8: joinRuns[uint8], tensor.Uint16: joinRuns[uint16], tensor.Uint32: joinRuns[uint32], tensor.Uint64: joinRuns[uint64],
		tensor.Float16: joinHalves[tensor.F16], tensor.BFloat16: joinHalves[tensor.BF16],
	}[dst.Type]
	if join == nil {
		return fmt.Errorf("reduction of %s", dst.Type)
	}
	return join(j, env, dst, updates, run, starts)
}

// number is the Go types that Go can add and compare.
type number interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

func joinRuns[T interface {
	tensor.Elem
	number
}](j joining, env *Env, dst, updates *tensor.Tensor, run int, starts kernel.Starts) error {
	to, from, join := tensor.Data[T](dst), tensor.Data[T](updates), joinOf[T](j)
	return kernel.EachRun(env.On, len(from), run, starts, func(i, at int) {
		for k, x := range from[i*run : (i+1)*run] {
			to[at+k] = join(to[at+k], x)
		}
	})
}

func joinOf[T number](j joining) func(a, b T) T {
	switch j {
	case "add":
		return func(a, b T) T { return a + b }
	case "mul":
		return func(a, b T) T { return a * b }
	case "max":
		return func(a, b T) T { return max(a, b) }
	}
	return func(a, b T) T { return min(a, b) }
}

// joinHalves computes in float32 and rounds after each step.
func joinHalves[T half](j joining, env *Env, dst, updates *tensor.Tensor, run int, starts kernel.Starts) error {
	to, from, join := tensor.Data[T](dst), tensor.Data[T](updates), joinOf[float32](j)
	return kernel.EachRun(env.On, len(from), run, starts, func(i, at int) {
		for k, x := range from[i*run : (i+1)*run] {
			to[at+k] = toHalf[T](join(fromHalf(to[at+k]), fromHalf(x)))
		}
	})
}
