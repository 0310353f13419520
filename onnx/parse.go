package onnx

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/internal/wire"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// The versions that this engine reads. Until version 6 several operators had another
// meaning only if an attribute said so, and an attribute that an operator does not
// know is refused.
const (
	minOpset = 1
	maxOpset = 28
	minIR    = 3
	maxIR    = 14
)

// Parse reads the bytes of an .onnx file (a ModelProto of the ONNX specification)
// within the limits, puts the bodies of the model's own functions where they are
// called, and checks that the graph is well formed. It refuses references to other
// files, training graphs, sparse tensors and maps, and every field that it does not
// know: what a field means that nobody looked at is not known either. Notes, such as
// documentation, hints for devices and annotations of quantization, are passed over.
func Parse(model []byte, lim Limits) (*Model, error) {
	if int64(len(model)) > lim.Bytes && lim.Bytes > 0 {
		return nil, fmt.Errorf("onnx: model has %d bytes, the limit is %d", len(model), lim.Bytes)
	}
	return parse(wire.NewReader(model), lim)
}

// ParseFrom is Parse of a stream, which it reads to its end and not further than
// the limit. It holds a window of the file only: weights go from there straight into
// their tensors, so that none is in memory twice. The caller may read along, to hash
// the file, with [io.TeeReader].
func ParseFrom(model io.Reader, lim Limits) (*Model, error) {
	return parse(wire.NewStream(model, lim.Bytes), lim)
}

func parse(r *wire.Reader, lim Limits) (m *Model, err error) {
	defer recovered(&err, func() { m = nil })
	if err := lim.check(); err != nil {
		return nil, err
	}
	p := &parser{lim: lim}
	m, err = p.model(r)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return m, nil
}

// parser counts what it has read against the limits of one model.
type parser struct {
	lim        Limits
	nodes      int
	stored     int
	values     int
	attributes int
	weights    int64
	matrices   []*tensor.Tensor // large ones, of which others may be the transposes
	factors    factors
}

// count adds one to *n and refuses more than limit.
func count(n *int, limit int, what string) error {
	if *n++; *n > limit {
		return tooMany(limit, what)
	}
	return nil
}

func tooMany(limit int, what string) error { return fmt.Errorf("more than %d %s", limit, what) }

// fieldSet is a set of field numbers below 64.
type fieldSet uint64

func fields(numbers ...int) fieldSet {
	var s fieldSet
	for _, n := range numbers {
		s |= 1 << n
	}
	return s
}

// message hands every field of the message in f to do.
func message(f wire.Field, repeated fieldSet, do func(wire.Field) error) error {
	r, err := f.Message()
	if err != nil {
		return err
	}
	return each(r, repeated, do)
}

// each hands every field of a message to do, and refuses a second value for a field
// that may have one only: readers differ in which they believe.
func each(r *wire.Reader, repeated fieldSet, do func(wire.Field) error) error {
	var seen fieldSet
	for !r.Done() {
		f, err := r.Next()
		if err != nil {
			return err
		}
		if f.Number < 64 {
			bit := fields(f.Number)
			if seen&bit != 0 && repeated&bit == 0 {
				return fmt.Errorf("field %d is there twice", f.Number)
			}
			seen |= bit
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

func unknownField(f wire.Field) error { return fmt.Errorf("unknown field %d", f.Number) }

// text reads a string that the engine keeps.
func (p *parser) text(f wire.Field) (string, error) {
	if f.Size() > int64(p.lim.StringBytes) {
		return "", fmt.Errorf("field %d: string of %d bytes, the limit is %d", f.Number, f.Size(), p.lim.StringBytes)
	}
	b, err := f.Bytes()
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("field %d: string is not UTF-8", f.Number)
	}
	return string(b), nil
}

// texts reads one more string of a list.
func (p *parser) texts(f wire.Field, list *[]string) error {
	s, err := p.text(f)
	*list = append(*list, s)
	return err
}

// file is what a ModelProto holds. The graph comes before the versions and the
// functions that its nodes mean.
type file struct {
	ir        int64
	opsets    opsets
	graph     *graph.Graph
	functions map[functionName]*function
}

// model reads a ModelProto. Field numbers here and below: onnx.proto3.
func (p *parser) model(r *wire.Reader) (*Model, error) {
	in := &file{opsets: opsets{}, functions: map[functionName]*function{}}
	err := each(r, fields(8, 14, 20, 25, 26), func(f wire.Field) error { return p.modelField(f, in) })
	if err != nil {
		return nil, err
	}
	if in.ir < minIR || in.ir > maxIR {
		return nil, fmt.Errorf("file format version (ir_version) %d, this engine reads %d to %d", in.ir, minIR, maxIR)
	}
	if in.graph == nil {
		return nil, errors.New("no graph")
	}
	g, err := inline(in, p.lim)
	if err != nil {
		return nil, err
	}
	if err := checkGraph(g, nil); err != nil {
		return nil, err
	}
	return &Model{opset: in.opsets[""], graph: g, limits: p.lim}, nil
}

func (p *parser) modelField(f wire.Field, in *file) (err error) {
	switch f.Number {
	case 1:
		in.ir, err = f.Int()
	case 7:
		in.graph, err = p.graph(f, 1)
	case 8:
		err = p.opset(f, in.opsets)
	case 2, 3, 4, 5, 6, 14, 26: // producer, domain, version, notes, device hints
	case 20:
		err = errors.New("training information is not supported")
	case 25:
		err = p.function(f, in.functions)
	default:
		err = unknownField(f)
	}
	return err
}
