package main

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// declared is an input or output of the model. types are its type and, for a
// sequence or optional, the type of what it holds, down to elements: optional,
// sequence, float32. What this engine has no type for is 0.
type declared struct {
	name  string
	types []tensor.DataType
}

// glance is what a case's model says about itself. It is read apart from the
// engine, so that a model that the engine refuses can be named on the page too.
type glance struct {
	opset   int64 // of the default domain; 0: none
	ops     []string
	inputs  []declared
	outputs []declared
	stored  []string
}

// String names the operators and the operator set.
func (g glance) String() string {
	return fmt.Sprintf("%s; operator set %s", operators(g.ops), opsetName(g.opset))
}

// look reads a ModelProto as far as a glance goes.
func look(model []byte) (g glance, err error) {
	err = each(model, func(f wire.Field) error {
		switch f.Number {
		case 7:
			return within(f, g.graphField)
		case 8:
			return g.opsetOf(f)
		}
		return nil
	})
	slices.Sort(g.ops)
	g.ops = slices.Compact(g.ops)
	return g, err
}

// each hands every field of a message to do.
func each(message []byte, do func(wire.Field) error) error {
	for r := wire.NewReader(message); !r.Done(); {
		f, err := r.Next()
		if err == nil {
			err = do(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// within hands every field of the message in f to do.
func within(f wire.Field, do func(wire.Field) error) error {
	b, err := f.Bytes()
	if err != nil {
		return err
	}
	return each(b, do)
}

func text(f wire.Field, into *string) error {
	b, err := f.Bytes()
	*into = string(b)
	return err
}

// opsetOf reads an OperatorSetIdProto.
func (g *glance) opsetOf(f wire.Field) error {
	var domain string
	var version int64
	err := within(f, func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			err = text(f, &domain)
		case 2:
			version, err = f.Int()
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		g.opset = version
	}
	return err
}

func (g *glance) graphField(f wire.Field) error {
	switch f.Number {
	case 1:
		return g.node(f)
	case 5:
		return within(f, func(f wire.Field) error {
			if f.Number != 8 {
				return nil
			}
			g.stored = append(g.stored, "")
			return text(f, &g.stored[len(g.stored)-1])
		})
	case 11:
		return value(f, &g.inputs)
	case 12:
		return value(f, &g.outputs)
	}
	return nil
}

// node notes a NodeProto's operator and those of the graphs inside it.
func (g *glance) node(f wire.Field) error {
	var op, domain string
	err := within(f, func(f wire.Field) error {
		switch f.Number {
		case 4:
			return text(f, &op)
		case 5:
			return within(f, g.attributeField)
		case 7:
			return text(f, &domain)
		}
		return nil
	})
	if domain != "" && domain != "ai.onnx" {
		op = domain + "." + op
	}
	g.ops = append(g.ops, op)
	return err
}

func (g *glance) attributeField(f wire.Field) error {
	if f.Number != 6 && f.Number != 11 {
		return nil
	}
	return within(f, func(f wire.Field) error {
		if f.Number == 1 {
			return g.node(f)
		}
		return nil
	})
}

// value reads a ValueInfoProto.
func value(f wire.Field, list *[]declared) error {
	var d declared
	err := within(f, func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			err = text(f, &d.name)
		case 2:
			err = typesOf(f, &d.types)
		}
		return err
	})
	*list = append(*list, d)
	return err
}

// typesOf reads a TypeProto. Field 1 of a tensor's type is the number of its
// element type, field 1 of a list's the TypeProto of what it holds.
func typesOf(f wire.Field, types *[]tensor.DataType) error {
	return within(f, func(f wire.Field) error {
		switch f.Number {
		case 1:
			return within(f, func(f wire.Field) error {
				if f.Number != 1 {
					return nil
				}
				t, err := f.Int()
				*types = append(*types, tensor.DataType(t))
				return err
			})
		case 4:
			return listType(f, tensor.Sequence, types)
		case 9:
			return listType(f, tensor.Optional, types)
		case 5, 7, 8:
			*types = append(*types, 0)
		}
		return nil
	})
}

func listType(f wire.Field, list tensor.DataType, types *[]tensor.DataType) error {
	*types = append(*types, list)
	return within(f, func(f wire.Field) error {
		if f.Number == 1 {
			return typesOf(f, types)
		}
		return nil
	})
}

// fed returns the inputs that a run takes, given how many files a case has.
// Weights that an old file lists among its inputs are not fed.
func (g glance) fed(files int) []declared {
	var out []declared
	for _, d := range g.inputs {
		if !slices.Contains(g.stored, d.name) {
			out = append(out, d)
		}
	}
	if files > len(out) {
		return g.inputs
	}
	return out
}
