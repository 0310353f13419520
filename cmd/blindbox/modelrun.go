package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/internal/strictjson"
)

// maxInput bounds a file with the elements of an input, in bytes.
const maxInput = 256 << 20

func (s *session) modelRun() *cobra.Command {
	var o boxFlags
	var version string
	var inputs, outputs []string
	cmd := &cobra.Command{
		Use:   "run NAME [TEXT|FILE]... [--input INPUT=JSON]...",
		Short: "Run a model in a box",
		Long: `Run a model in a box, after it was verified, and print what it says.

A model with a pipeline is asked about what people have: texts as they stand, or
@FILE for those in files; pictures (PNG or JPEG) and recordings (WAV) as files.
A - is what comes in.

Any other model takes tensors. An input is a number, a text, or arrays of them
as deep as its shape; @FILE takes it from a file. A model with one input needs
no name for it: --input '[[1, 2, 3]]'.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly(1, "a NAME, or an id")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && len(inputs) > 0 {
				return usage("give texts and files, or --input, and not both")
			}
			if err := checkReference(args[0]); err != nil {
				return err
			}
			q := question{name: args[0], version: version, items: args[1:], inputs: inputs, outputs: outputs, once: o.receipt != ""}
			return s.withBox(o, func(c *models.Client) error { return s.runModel(cmd.Context(), c, q) })
		},
	}
	addBoxFlags(cmd, &o)
	addReceiptFlag(cmd, &o)
	f := cmd.Flags()
	f.StringVar(&version, "version", "", "version (default: the newest)")
	f.StringArrayVarP(&inputs, "input", "i", nil, "INPUT=JSON or INPUT=@FILE; may be repeated")
	f.StringArrayVar(&outputs, "only", nil, "an output to print; may be repeated (default: all)")
	return cmd
}

// question is what a model is asked.
type question struct {
	name, version string
	items         []string // texts or files, of a model with a pipeline
	inputs        []string // tensors
	outputs       []string // wanted; none: all
	once          bool     // in one request, which a receipt is for
}

// unasked refuses a command line that does not fit the model: which the box says, so
// that it was contacted, and has not seen what the model is to be asked.
func unasked(d models.Description, format string, args ...any) *refusal {
	r := usage(format, args...)
	r.entry.NotDone = "The model was not asked: the box was verified, and said only what the model takes."
	r.entry.Fix = howToAsk(d)
	return r
}

func (s *session) runModel(ctx context.Context, c *models.Client, q question) error {
	d, err := c.Describe(ctx, q.name, q.version)
	if err != nil {
		return err
	}
	what, _ := d.Asks()
	switch {
	case len(q.items) > 0 && what == "":
		return unasked(d, "%s takes tensors and not texts or files: %s; give each with --input NAME=JSON", oneLine(d.Name), described(d.Inputs))
	case what != "" && len(q.inputs) == 0:
		return s.ask(ctx, c, d, q)
	}
	tensors, err := s.tensors(d, q.inputs)
	if err != nil {
		return err
	}
	out, err := c.Infer(ctx, q.name, q.version, tensors, q.outputs...)
	if err != nil {
		return withAdvice(err, http.StatusBadRequest, howToAsk(d))
	}
	s.writeOutputs(d, out)
	return nil
}

// writeOutputs prints tensors as they are.
func (s *session) writeOutputs(d models.Description, out []models.Tensor) {
	if s.json() {
		s.writeJSON(map[string]any{"model": d.Name, "id": "sha256:" + d.Parameters["sha256"], "outputs": out})
		return
	}
	for _, t := range out {
		s.printf("%s %s%v\n  %s\n", oneLine(t.Name), oneLine(t.Datatype), t.Shape, oneLine(abridge(string(t.Data))))
	}
}

// tensors reads the inputs that a model takes.
func (s *session) tensors(d models.Description, inputs []string) ([]models.Tensor, error) {
	var out []models.Tensor
	for _, text := range inputs {
		v, data, err := s.input(d, text)
		if err != nil {
			return nil, err
		}
		elements := string(data)
		if slices.ContainsFunc(out, func(t models.Tensor) bool { return t.Name == v.Name }) {
			return nil, unasked(d, "--input %s is there twice", oneLine(v.Name))
		}
		if v.Shape, data, err = shapeOf(data); err != nil {
			return nil, unasked(d, "--input %s: %v%s", oneLine(v.Name), err, aFile(elements))
		}
		out = append(out, models.Tensor{Value: v, Data: data})
	}
	if len(out) < len(d.Inputs) {
		return nil, unasked(d, "the model takes %s; give each with --input NAME=JSON", described(d.Inputs))
	}
	return out, nil
}

// aFile is what to add about elements that are none, if they are the name of a file.
func aFile(elements string) string {
	if info, err := os.Stat(elements); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return "; for what stands in the file put @ before its name"
}

// described lists values as people read them.
func described(list []models.Value) string {
	var all []string
	for _, v := range list {
		all = append(all, fmt.Sprintf("%s %s%v", oneLine(v.Name), oneLine(v.Datatype), v.Shape))
	}
	return strings.Join(all, ", ")
}

// input finds out which input a text is for, and reads its elements.
func (s *session) input(d models.Description, text string) (models.Value, []byte, error) {
	for _, v := range d.Inputs {
		if rest, ok := strings.CutPrefix(text, v.Name+"="); ok {
			data, err := s.elements(rest)
			return v, data, err
		}
	}
	if len(d.Inputs) == 1 && !named(text) {
		data, err := s.elements(text)
		return d.Inputs[0], data, err
	}
	return models.Value{}, nil, unasked(d, "--input %q is none of the model's: it takes %s", abridge(text), described(d.Inputs))
}

// named says whether a text is a NAME=JSON, and no JSON or @FILE by itself.
func named(text string) bool {
	name, _, ok := strings.Cut(text, "=")
	return ok && !strings.ContainsAny(name, "[]{}\"@")
}

func (s *session) elements(text string) ([]byte, error) {
	if file, ok := strings.CutPrefix(text, "@"); ok {
		return s.readFile(file, maxInput)
	}
	return []byte(text), nil
}

// shapeOf finds the shape of arrays inside arrays by their first elements; a value by
// itself is one of rank zero. The box compares it with all of them.
func shapeOf(data []byte) (shape []int64, list []byte, err error) {
	data = bytes.TrimSpace(data)
	shape = []int64{}
	rest := json.RawMessage(data)
	for len(rest) > 0 && rest[0] == '[' {
		n, first := int64(0), json.RawMessage(nil)
		r, err := strictjson.NewReader(rest, strictjson.Limits{Bytes: len(rest) + 1})
		if err != nil {
			return nil, nil, err
		}
		err = r.Array(func() error {
			one, err := r.Skip()
			if n++; n == 1 {
				first = one
			}
			return err
		})
		if err == nil {
			err = r.End()
		}
		if err != nil {
			return nil, nil, err
		}
		shape, rest = append(shape, n), bytes.TrimSpace(first)
	}
	if len(shape) == 0 {
		if !json.Valid(data) {
			return nil, nil, errors.New("seen what is not JSON, expected a number, a text in quotes, or arrays of them")
		}
		return shape, append(append([]byte{'['}, data...), ']'), nil
	}
	return shape, data, nil
}
