package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// one runs f over the elements of a tensor: out[i] = f(in[i]). Both may be of any
// types that V can hold, and may share memory.
func one[V, R numeric](env *Env, out, in *tensor.Tensor, f func(V) R) error {
	from, to := reader[V](in), writer[R](out)
	values, results := make([]V, block), make([]R, block)
	shape := []int64{int64(out.Len())}
	return kernel.Walk(env.On, shape, []kernel.Operand{kernel.Dense(shape)}, func(n int, at, _ []int) error {
		for begin := 0; begin < n; begin += block {
			v := values[:min(block, n-begin)]
			from(v, at[0]+begin, 1)
			for i, x := range v {
				results[i] = f(x)
			}
			to(results[:len(v)], at[0]+begin, 1)
		}
		return nil
	})
}

// two runs f over two operands that broadcast to the shape of out.
func two[V, R numeric](env *Env, out, a, b *tensor.Tensor, f func(a, b V) R) error {
	fromA, fromB, to := reader[V](a), reader[V](b), writer[R](out)
	as, bs, results := make([]V, block), make([]V, block), make([]R, block)
	operands := []kernel.Operand{kernel.Dense(out.Shape), kernel.Broadcast(a.Shape, out.Shape), kernel.Broadcast(b.Shape, out.Shape)}
	return kernel.Walk(env.On, out.Shape, operands, func(n int, at, step []int) error {
		for begin := 0; begin < n; begin += block {
			r := results[:min(block, n-begin)]
			fromA(as[:len(r)], at[1]+begin*step[1], step[1])
			fromB(bs[:len(r)], at[2]+begin*step[2], step[2])
			for i := range r {
				r[i] = f(as[i], bs[i])
			}
			to(r, at[0]+begin, 1)
		}
		return nil
	})
}

// oneBy runs the function for the class of the operand's type.
func oneBy[V1, V2, V3 numeric](env *Env, out, in *tensor.Tensor, f func(float64) V1, i func(int64) V2, u func(uint64) V3) error {
	switch classOf(in.Type) {
	case signed:
		return one(env, out, in, i)
	case unsigned:
		return one(env, out, in, u)
	}
	return one(env, out, in, f)
}

// twoBy runs the function for the class of the first operand's type.
func twoBy[V1, V2, V3 numeric](env *Env, out, a, b *tensor.Tensor, f func(a, b float64) V1, i func(a, b int64) V2, u func(a, b uint64) V3) error {
	switch classOf(a.Type) {
	case signed:
		return two(env, out, a, b, i)
	case unsigned:
		return two(env, out, a, b, u)
	}
	return two(env, out, a, b, f)
}

// each shows every element of a tensor to f.
func each[V numeric](env *Env, in *tensor.Tensor, f func(V)) error {
	from := reader[V](in)
	values := make([]V, block)
	shape := []int64{int64(in.Len())}
	return kernel.Walk(env.On, shape, []kernel.Operand{kernel.Dense(shape)}, func(n int, at, _ []int) error {
		for begin := 0; begin < n; begin += block {
			v := values[:min(block, n-begin)]
			from(v, at[0]+begin, 1)
			for _, x := range v {
				f(x)
			}
		}
		return nil
	})
}

// apply computes dst[i] = f(src[i]).
func apply[T, R any](env *Env, dst []R, src []T, f func(T) R) error {
	shape := []int64{int64(len(dst))}
	return kernel.Walk(env.On, shape, []kernel.Operand{kernel.Dense(shape)}, func(n int, at, _ []int) error {
		to, from := dst[at[0]:at[0]+n], src[at[0]:at[0]+n]
		for i := range to {
			to[i] = f(from[i])
		}
		return nil
	})
}

// stretch is how many elements a kernel computes between two looks at the context.
const stretch = 1 << 14

// rows shares count rows of n elements between the threads, some at a time.
func rows(on *kernel.On, count, n int, do func(from, to int)) error {
	each := max(1, stretch/max(1, n))
	return on.Parallel((count+each-1)/each, func(part int) {
		do(part*each, min(count, (part+1)*each))
	})
}
