package onnx

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
)

// opsets is the version of the operator set of each domain, as a model or one of its
// functions imports them. The domain of the standard operators is "".
type opsets map[string]int64

// newest is the newest version of a domain's operators that this engine has.
func newest(domain string) (version int64, known bool) {
	switch domain {
	case "":
		return maxOpset, true
	case "ai.onnx.ml":
		return 5, true
	case "ai.onnx.preview":
		return 1, true
	case "com.microsoft": // onnxruntime's own
		return 1, true
	}
	return 0, false
}

// domain knows both spellings of the domain of the standard operators.
func domain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// opset reads an OperatorSetIdProto. Versions of domains that the engine does not
// have do not matter: a node in one of them is refused by name.
func (p *parser) opset(f wire.Field, imports opsets) error {
	var of string
	var version int64
	err := message(f, 0, func(f wire.Field) (err error) {
		switch f.Number {
		case 1:
			of, err = p.text(f)
		case 2:
			version, err = f.Int()
		default:
			err = unknownField(f)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("operator set: %w", err)
	}
	return p.enter(imports, domain(of), version)
}

// enter adds a domain's version to the imports.
func (p *parser) enter(imports opsets, of string, version int64) error {
	if err := count(&p.values, p.lim.Values, "inputs and outputs"); err != nil {
		return err
	}
	most, known := newest(of)
	switch _, twice := imports[of]; {
	case twice && of == "":
		return errors.New("two versions of the default operator set")
	case twice:
		return fmt.Errorf("two versions of the operator set %s", quote(of))
	case known && (version < minOpset || version > most):
		return fmt.Errorf("operator set version %d%s, this engine has %d to %d", version, ofDomain(of), minOpset, most)
	}
	imports[of] = version
	return nil
}

func ofDomain(d string) string {
	if d == "" {
		return ""
	}
	return " of " + quote(d)
}

// version finds the version of a node's domain.
func (o opsets) version(n *graph.Node) (int64, error) {
	if _, known := newest(n.Domain); !known {
		return 0, fmt.Errorf("domain %s is not supported, and the model has no function of that domain and name", quote(n.Domain))
	}
	v, ok := o[n.Domain]
	if !ok {
		return 0, fmt.Errorf("the model does not say which version of the operator set %s it means", quote(n.Domain))
	}
	return v, nil
}
