package op

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// einsum sums products of operands over all indices that the result does not have: in
// "ij,jk->ik", over j. An ellipsis stands for axes that broadcast.
type einsum struct {
	operands []string
	result   string
	implicit bool // the result is every index that stands once, in alphabetical order
}

const ellipsis = "..."

func makeEinsum(a *Attributes, _ int64) (Operator, error) {
	left, right, explicit := strings.Cut(strings.ReplaceAll(a.string("equation", ""), " ", ""), "->")
	o := einsum{operands: strings.Split(left, ","), result: right, implicit: !explicit}
	if len(o.operands) != a.Inputs {
		return nil, fmt.Errorf(`attribute "equation" has %d terms, the node has %d inputs`, len(o.operands), a.Inputs)
	}
	for _, term := range append(slices.Clone(o.operands), right) {
		letters := strings.Replace(term, ellipsis, "", 1)
		if i := strings.IndexFunc(letters, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }); i >= 0 {
			return nil, fmt.Errorf(`attribute "equation": term %s is not letters`, Quote(term))
		}
	}
	if o.implicit {
		o.result = implied(left)
	}
	return o, o.sound()
}

// implied is the result of an equation that does not tell it.
func implied(left string) string {
	result := ""
	if strings.Contains(left, ellipsis) {
		result = ellipsis
	}
	for c := 'A'; c <= 'z'; c++ {
		if strings.Count(left, string(c)) == 1 && c != '.' && c != ',' {
			result += string(c)
		}
	}
	return result
}

// sound refuses a result with an index that is there twice or in no operand.
func (o einsum) sound() error {
	letters := strings.Replace(o.result, ellipsis, "", 1)
	for i, c := range letters {
		if strings.ContainsRune(letters[:i], c) || !strings.ContainsRune(strings.Join(o.operands, ""), c) {
			return fmt.Errorf(`attribute "equation": index %c of the result`, c)
		}
	}
	return nil
}

// indices is a term as one label an axis: a letter, or for the axes of an ellipsis,
// counted from their end, a number below.
func indices(term string, rank int) ([]int, error) {
	letters := len(strings.Replace(term, ellipsis, "", 1))
	at := strings.Index(term, ellipsis)
	if rank < letters || at < 0 && rank != letters {
		return nil, fmt.Errorf("has rank %d, the equation says %s", rank, Quote(term))
	}
	var list []int
	for i := 0; i < len(term); i++ {
		if i != at {
			list = append(list, int(term[i]))
			continue
		}
		for k := rank - letters; k > 0; k-- {
			list = append(list, -k)
		}
		i += len(ellipsis) - 1
	}
	return list, nil
}

// sizes is the size of every index, -1 if it is not known.
type sizes map[int]int64

func (s sizes) add(label int, size int64) error {
	before, ok := s[label]
	if !ok {
		s[label] = size
		return nil
	}
	d, ok := broadcastDim(before, size)
	if !ok {
		return fmt.Errorf("index %s is %d and %d", Quote(string(rune(label))), before, size)
	}
	s[label] = d
	return nil
}

// measure finds the size of each index, and how many axes ellipses stand for.
func (o einsum) measure(in []*Info) (sizes, int, error) {
	s, dots := sizes{}, 0
	for i, v := range in {
		labels, err := indices(o.operands[i], len(v.Shape))
		if err != nil {
			return nil, 0, &OperandError{i, err}
		}
		for k, label := range labels {
			dots = max(dots, -label)
			if err := s.add(label, v.Shape[k]); err != nil {
				return nil, 0, &OperandError{i, err}
			}
		}
	}
	return s, dots, nil
}

func (o einsum) Infer(in []*Info) ([]Info, error) {
	if err := needSame(in, numberTypes()...); err != nil {
		return nil, err
	}
	for _, v := range in {
		if !v.Ranked {
			return []Info{unranked(in[0].Type)}, nil
		}
	}
	s, _, err := o.measure(in)
	if err != nil {
		return nil, err
	}
	labels, err := o.results(s)
	if err != nil {
		return nil, err
	}
	shape := make([]int64, len(labels))
	for i, label := range labels {
		shape[i] = s[label]
	}
	return []Info{ranked(in[0].Type, shape...)}, nil
}

// Dear: ten operands of 64 elements have 2^60 products.
func (o einsum) Dear() {}

// results is one label for each axis of the result.
func (o einsum) results(s sizes) ([]int, error) {
	dots := 0
	for label := range s {
		dots = max(dots, -label)
	}
	letters := len(strings.Replace(o.result, ellipsis, "", 1))
	if !strings.Contains(o.result, ellipsis) {
		dots = 0
	}
	return indices(o.result, letters+dots)
}

func (o einsum) Run(env *Env, in, out []*tensor.Tensor) error {
	switch classOf(in[0].Type) {
	case signed:
		return sumProducts[int64](env, o, in, out[0])
	case unsigned:
		return sumProducts[uint64](env, o, in, out[0])
	}
	return sumProducts[float64](env, o, in, out[0])
}

// nest is the loops over all indices: first those of the result, then those that are
// summed over.
type nest struct {
	shape    []int64
	operands []kernel.Operand
	results  int // elements of the result
}

func (o einsum) nest(in []*tensor.Tensor) (nest, error) {
	s, _, err := o.measure(infosOf(in))
	if err != nil {
		return nest{}, err
	}
	labels, err := o.results(s)
	if err != nil {
		return nest{}, err
	}
	n := nest{results: 1}
	for _, label := range labels {
		n.results *= int(s[label])
	}
	order := slices.Clone(labels)
	for label := range s {
		if !slices.Contains(labels, label) {
			order = append(order, label)
		}
	}
	slices.Sort(order[len(labels):])
	for _, label := range order {
		n.shape = append(n.shape, s[label])
	}
	if _, err := tensor.Count(n.shape); err != nil {
		return nest{}, err
	}
	for i, t := range in {
		n.operands = append(n.operands, stridesBy(o.operands[i], t, order))
	}
	return n, nil
}

// stridesBy is how far a step along each index goes in an operand: along the axes that
// have it and are not repeated.
func stridesBy(term string, t *tensor.Tensor, order []int) kernel.Operand {
	labels, _ := indices(term, len(t.Shape)) // measure has refused what does not fit
	own, strides := kernel.Strides(t.Shape), make([]int, len(order))
	for axis, label := range labels {
		if t.Shape[axis] != 1 {
			strides[slices.Index(order, label)] += own[axis]
		}
	}
	return kernel.Operand{Strides: strides}
}

func sumProducts[V numeric](env *Env, o einsum, in []*tensor.Tensor, out *tensor.Tensor) error {
	n, err := o.nest(in)
	if err != nil {
		return err
	}
	var from []read[V]
	for _, t := range in {
		from = append(from, reader[V](t))
	}
	sums, err := work[V](env, n.results)
	if err != nil {
		return err
	}
	products, factors := make([]V, block), make([]V, block)
	place := kernel.Operand{Strides: make([]int, len(n.shape))}
	copy(place.Strides, kernel.Strides(out.Shape))
	err = kernel.Walk(env.On, n.shape, append(n.operands, place), func(count int, at, step []int) error {
		last := len(at) - 1
		for begin := 0; begin < count; begin += block {
			p := products[:min(block, count-begin)]
			from[0](p, at[0]+begin*step[0], step[0])
			for k := 1; k < last; k++ {
				f := factors[:len(p)]
				from[k](f, at[k]+begin*step[k], step[k])
				for i := range p {
					p[i] *= f[i]
				}
			}
			for i, x := range p {
				sums[at[last]+(begin+i)*step[last]] += x
			}
		}
		return nil
	})
	writer[V](out)(sums, 0, 1)
	return err
}
