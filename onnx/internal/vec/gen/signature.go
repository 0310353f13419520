package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
)

// A function is emitted once for each level that it has a form for.
type function interface {
	signature() signature
	emit(m *machine)
}

// signature is what callers see of a function.
type signature struct {
	name    string
	slices  []string
	types   []string // of the slices' elements; nil: all float32
	ints    []string
	scalars []string // float32
	result  bool     // there is one, a float32
	levels  []string // with an assembly form, the best first; nil: both

	// checked says that the caller knows the slices to be long enough. Else all
	// must be as long as the first.
	checked bool
}

// parameters is the parameter list in Go.
func (s signature) parameters() string {
	var all []string
	if s.types == nil {
		all = append(all, strings.Join(s.slices, ", ")+" []float32")
	}
	for i, t := range s.types {
		all = append(all, s.slices[i]+" []"+t)
	}
	if s.ints != nil {
		all = append(all, strings.Join(s.ints, ", ")+" int")
	}
	if s.scalars != nil {
		all = append(all, strings.Join(s.scalars, ", ")+" float32")
	}
	return strings.Join(all, ", ")
}

func (s signature) results() string {
	if s.result {
		return " float32"
	}
	return ""
}

// arguments are the parameters' names.
func (s signature) arguments() string {
	all := append([]string{}, s.slices...)
	return strings.Join(append(append(all, s.ints...), s.scalars...), ", ")
}

func (s signature) forms() []string {
	if s.levels == nil {
		return []string{"AVX512", "AVX2"}
	}
	return s.levels
}

// begin starts the assembly of a function; does is for its stub.
func (m *machine) begin(s signature, does string) {
	m.Function(s.name + m.suffix())
	m.Attributes(attr.NOSPLIT)
	m.SignatureExpr("func(" + s.parameters() + ")" + s.results())
	m.Pragma("noescape")
	m.Doc(fmt.Sprintf("%s%s %s.", s.name, m.suffix(), does))
}

// scalars loads float32 parameters.
func (m *machine) scalars(names []string) []vector {
	var all []vector
	for _, name := range names {
		at, err := m.Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		v := m.vector()
		m.VBROADCASTSS(at.Addr, v)
		all = append(all, v)
	}
	return all
}
