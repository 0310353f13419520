package op

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// inBlocks calls do for n elements, at most block of them at a time: where they begin
// and how many they are. It ends with the context.
func inBlocks(env *Env, n int, do func(at, n int)) error {
	shape := []int64{int64(n)}
	return kernel.Walk(env.On, shape, []kernel.Operand{kernel.Dense(shape)}, func(n int, at, _ []int) error {
		for begin := 0; begin < n; begin += block {
			do(at[0]+begin, min(block, n-begin))
		}
		return nil
	})
}

// one runs f over the elements of a tensor: out[i] = f(in[i]). Both may be of any
// types that V can hold, and may share memory.
func one[V, R numeric](env *Env, out, in *tensor.Tensor, f func(V) R) error {
	from, to := reader[V](in), writer[R](out)
	values, results := make([]V, block), make([]R, block)
	return inBlocks(env, out.Len(), func(at, n int) {
		from(values[:n], at, 1)
		for i, x := range values[:n] {
			results[i] = f(x)
		}
		to(results[:n], at, 1)
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
	from, values := reader[V](in), make([]V, block)
	return inBlocks(env, in.Len(), func(at, n int) {
		from(values[:n], at, 1)
		for _, x := range values[:n] {
			f(x)
		}
	})
}

// convert writes the n elements that it reads.
func convert[V numeric](env *Env, n int, from read[V], to write[V]) error {
	values := make([]V, block)
	return inBlocks(env, n, func(at, n int) {
		from(values[:n], at, 1)
		to(values[:n], at, 1)
	})
}

// fillBy computes every element from its number. It looks at the context for every
// block, since f may be slow.
func fillBy[V numeric](env *Env, out *tensor.Tensor, f func(i int) V) error {
	to, values := writer[V](out), make([]V, block)
	for at := 0; at < out.Len(); at += block {
		if err := env.On.Err(); err != nil {
			return err
		}
		v := values[:min(block, out.Len()-at)]
		for i := range v {
			v[i] = f(at + i)
		}
		to(v, at, 1)
	}
	return nil
}

// apply computes dst[i] = f(src[i]).
func apply[T, R any](env *Env, dst []R, src []T, f func(T) R) error {
	return inBlocks(env, len(dst), func(at, n int) {
		for i, x := range src[at : at+n] {
			dst[at+i] = f(x)
		}
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
