package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/foreign"
	"github.com/blindbox/blindbox/onnx"
)

func newModel(s *session) *cobra.Command {
	group := &cobra.Command{
		Use:   "model",
		Short: "Look at a model, bring it into a box, run it there",
		Args:  exactly(1, "a command: push, pack, ls, show, run, rm, load, unload, pin or unpin"),
		RunE:  func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args[0]) },
	}
	group.AddCommand(s.modelShowCommand())
	group.AddCommand(s.modelCommands()...)
	return group
}

func (s *session) modelShowCommand() *cobra.Command {
	var shapes []string
	var o boxFlags
	var version string
	show := &cobra.Command{
		Use:   "show FILE|FOLDER|NAME",
		Short: "Say what a model takes and gives, and whether a box can run it: of a file or in a box",
		Long: `Show the inputs and outputs of an ONNX model, its operators, its size and its
digest, and whether a box can run it. The file is read as a box reads it, and as
little trusted. Nothing is run.

Of a folder with a pipeline, or the file that "model pack" makes of it, show the
files, and what the pipeline takes and gives.

What a run takes in memory depends on the shapes of its inputs. For those that the
model leaves open, give a shape with --shape.

With --box it is the NAME, or the id, of a model in that box, which is verified and
asked about it. Without --box what is there as a file is the file; where nothing is
there under a name, the box that BLINDBOX_BOX names is asked. ./NAME is always a file.`,
		Args: exactly(1, "one FILE, FOLDER or NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.isInBox(o, args[0]) {
				if len(shapes) > 0 {
					return usage("--shape is for ONNX models in files: %s is one in a box (./%[1]s is a file)", abridge(args[0]))
				}
				return s.modelShowInBox(cmd.Context(), o, args[0], version)
			}
			if version != "" {
				return usage("--version is for models in a box, and %s is taken for a file: give --box", abridge(args[0]))
			}
			return s.modelShow(args[0], shapes)
		},
	}
	addBoxFlags(show, &o)
	f := show.Flags()
	f.StringArrayVar(&shapes, "shape", nil, "INPUT=SIZES, as in \"tokens=1,128\"; may be repeated")
	f.StringVar(&version, "version", "", "version of a model in a box (default: the newest)")
	return show
}

// shownModel is what `model show` prints.
type shownModel struct {
	File       string          `json:"file"`
	Bytes      int64           `json:"bytes"`
	Digest     string          `json:"sha256"`
	Opset      int64           `json:"opset"`
	Tensors    int             `json:"tensors"`
	Parameters int64           `json:"parameters"`
	Weights    int64           `json:"parameter_bytes"`
	Inputs     []shownValue    `json:"inputs"`
	Outputs    []shownValue    `json:"outputs"`
	Operators  []shownOperator `json:"operators"`
	Runs       bool            `json:"runs"`
	Reason     string          `json:"reason,omitempty"` // why not
	Memory     *shownMemory    `json:"memory,omitempty"`
	Open       []shownValue    `json:"-"` // inputs of which a shape is needed to tell Memory
}

type shownValue struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []any  `json:"shape"` // sizes, and names or null for those that are open; null: any rank
}

type shownOperator struct {
	Name      string `json:"name"`
	Nodes     int    `json:"nodes"`
	Supported bool   `json:"supported"`
}

// shownMemory is what one run takes beside the model, in bytes.
type shownMemory struct {
	Shapes  map[string][]int64 `json:"shapes"`
	Work    int64              `json:"work"`
	Outputs int64              `json:"outputs"`
	Exact   bool               `json:"exact"` // false: some sizes only show in a run, and come on top
}

func (s *session) modelShow(file string, shapes []string) error {
	given, err := parseShapes(shapes)
	if err != nil {
		return err
	}
	in, end, err := s.openShown(file)
	if err != nil {
		return err
	}
	defer end()
	read := &digested{hash: sha256.New()}
	whole := bufio.NewReaderSize(io.TeeReader(in, read), 1<<16)
	head, _ := whole.Peek(foreign.Head)
	if bundle.Is(head) {
		return s.showBundle(file, whole, read, given)
	}
	if other := foreign.Of(head); other != nil {
		return notAModel(other)
	}
	m, err := readModel(whole, read)
	if err != nil {
		return err
	}
	d := m.Describe()
	shown := describeModel(file, read, d)
	if err := shown.prepare(m, d.Inputs, given); err != nil {
		return err
	}
	s.writeModel(shown)
	return nil
}

// openShown opens what is shown: also what comes in, and a pipe.
func (s *session) openShown(file string) (in io.Reader, end func(), err error) {
	if file == "-" {
		return s.stdin, func() {}, nil
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() || filepath.Base(file) == bundle.Manifest {
		m, err := openModel(file)
		if err != nil {
			return nil, nil, err
		}
		return io.NewSectionReader(m, 0, m.size), m.close, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	return f, func() { f.Close() }, nil
}

// readModel reads a file as a box does.
func readModel(in io.Reader, read *digested) (*onnx.Model, error) {
	m, err := onnx.ParseFrom(in, onnx.DefaultLimits())
	switch {
	case err == nil:
		return m, nil
	case read.bytes == 0 && !isFileError(err):
		return nil, fail(catalogue.CodeModel, "model", "an empty file", "an ONNX model within the limits of a box")
	}
	return nil, notShown(err, "an ONNX model within the limits of a box")
}

// notShown tells a file that cannot be read from one that is no model.
func notShown(err error, expected string) *refusal {
	if isFileError(err) {
		return fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	return fail(catalogue.CodeModel, "model", err.Error(), expected)
}

func isFileError(err error) bool {
	var notRead *fs.PathError
	return errors.As(err, &notRead)
}

// parseShapes reads INPUT=1,128. A name may have a = in it, sizes may not.
func parseShapes(list []string) (map[string][]int64, error) {
	given := map[string][]int64{}
	for _, text := range list {
		i := strings.LastIndex(text, "=")
		if i < 0 {
			return nil, usage("--shape %q, expected INPUT=SIZES, as in tokens=1,128", text)
		}
		if _, twice := given[text[:i]]; twice {
			return nil, usage("--shape %s is there twice", oneLine(text[:i]))
		}
		shape := []int64{}
		for _, word := range strings.Split(text[i+1:], ",") {
			n, err := strconv.ParseInt(word, 10, 64)
			if err != nil || n < 0 {
				return nil, usage("--shape %q: %q is not a size", text, word)
			}
			shape = append(shape, n)
		}
		given[text[:i]] = shape
	}
	return given, nil
}

// digested hashes a file while it is read: it need not fit into memory.
type digested struct {
	hash  hash.Hash
	bytes int64
}

func (d *digested) Write(p []byte) (int, error) {
	d.bytes += int64(len(p))
	return d.hash.Write(p)
}

func describeModel(file string, read *digested, d onnx.Description) *shownModel {
	shown := &shownModel{
		File: file, Bytes: read.bytes, Digest: hex.EncodeToString(read.hash.Sum(nil)), Opset: d.Opset,
		Tensors: d.Tensors, Parameters: d.Parameters, Weights: d.Bytes,
		Inputs: shownValues(d.Inputs), Outputs: shownValues(d.Outputs), Operators: []shownOperator{},
	}
	for _, o := range d.Operators {
		shown.Operators = append(shown.Operators, shownOperator(o))
	}
	return shown
}

func shownValues(list []onnx.ValueInfo) []shownValue {
	out := make([]shownValue, len(list))
	for i, v := range list {
		out[i] = shownValue{Name: v.Name, Type: typeOf(v)}
		if v.Shape != nil {
			out[i].Shape = []any{}
		}
		for k, n := range v.Shape {
			switch {
			case n >= 0:
				out[i].Shape = append(out[i].Shape, n)
			case k < len(v.Symbols) && v.Symbols[k] != "":
				out[i].Shape = append(out[i].Shape, v.Symbols[k])
			default:
				out[i].Shape = append(out[i].Shape, nil)
			}
		}
	}
	return out
}

func typeOf(v onnx.ValueInfo) string {
	text := v.Type.String()
	if v.Item != 0 {
		text += " of " + v.Item.String()
	}
	if v.Inner != 0 {
		text += " of " + v.Inner.String()
	}
	return text
}

// prepare says whether the model runs, and what a run takes if all shapes are known.
// Only a shape that was given and does not fit is an error.
func (m *shownModel) prepare(model *onnx.Model, inputs []onnx.ValueInfo, given map[string][]int64) error {
	session, err := onnx.NewSession(model)
	if err != nil {
		m.Reason = err.Error()
		return nil
	}
	m.Runs = true
	for name := range given {
		if !slices.ContainsFunc(inputs, func(v onnx.ValueInfo) bool { return v.Name == name }) {
			return usage("--shape for %s, which is no input of the model, it has %s", oneLine(name), oneLine(names(inputs)))
		}
	}
	shapes, open := knownShapes(inputs, given)
	if len(open) > 0 {
		m.Open = shownValues(open)
		return nil
	}
	need, err := session.Plan(shapes)
	if err != nil && len(given) > 0 {
		return usage("%s", oneLine(err.Error()))
	}
	if err == nil {
		m.Memory = &shownMemory{Shapes: shapes, Work: need.Work, Outputs: need.Outputs, Exact: need.Exact}
	}
	return nil
}

// knownShapes joins what the model says with what was given, and says of which inputs a
// shape is still open.
func knownShapes(inputs []onnx.ValueInfo, given map[string][]int64) (shapes map[string][]int64, left []onnx.ValueInfo) {
	shapes = map[string][]int64{}
	for _, v := range inputs {
		shape, ok := given[v.Name]
		if !ok {
			shape = v.Shape
		}
		open := shape == nil && v.Type.Element()
		for _, n := range shape {
			open = open || n < 0
		}
		if open {
			left = append(left, v)
			continue
		}
		shapes[v.Name] = shape
	}
	return shapes, left
}

func names(list []onnx.ValueInfo) string {
	var out []string
	for _, v := range list {
		out = append(out, v.Name)
	}
	return strings.Join(out, ", ")
}

func (s *session) writeModel(m *shownModel) {
	if s.json() {
		s.writeJSON(m)
		return
	}
	s.printf("file        %s, %s\n", oneLine(m.File), sizes.Exact(m.Bytes))
	s.printf("sha256      %s\n", m.Digest)
	s.printf("opset       %d\n", m.Opset)
	s.printf("parameters  %d in %d tensors, %s\n", m.Parameters, m.Tensors, sizes.Exact(m.Weights))
	s.writeValues("inputs", m.Inputs)
	s.writeValues("outputs", m.Outputs)
	s.printf("operators\n")
	for _, o := range m.Operators {
		missing := ""
		if !o.Supported {
			missing = "  not supported"
		}
		s.printf("  %5d  %s%s\n", o.Nodes, oneLine(o.Name), missing)
	}
	s.printf("runs        %s\n", m.verdict())
	if m.Memory != nil {
		s.printf("memory      %s\n", m.Memory)
	} else if m.Runs {
		s.printf("memory      depends on sizes that are open: %s\n", oneLine(m.missing()))
	}
}

func (m *shownModel) verdict() string {
	if m.Runs {
		return "yes"
	}
	return "no: " + oneLine(m.Reason)
}

// missing is the options that would tell the memory of a run.
func (m *shownModel) missing() string {
	var options []string
	for _, v := range m.Open {
		options = append(options, "--shape "+v.Name+"="+strings.Trim(strings.ReplaceAll(shapeText(v.Shape), ", ", ","), "[]"))
	}
	return strings.Join(options, " ")
}

func (m *shownMemory) String() string {
	text := fmt.Sprintf("%s for each run, and %s for its outputs", sizes.Exact(m.Work), sizes.Exact(m.Outputs))
	if !m.Exact {
		return "at least " + text + ": some sizes only show in a run"
	}
	return text
}

func (s *session) writeValues(title string, list []shownValue) {
	s.printf("%s\n", title)
	for _, v := range list {
		s.printf("  %s %s %s\n", oneLine(v.Name), oneLine(v.Type), oneLine(shapeText(v.Shape)))
	}
}

func shapeText(shape []any) string {
	if shape == nil {
		return "of any shape"
	}
	words := make([]string, len(shape))
	for i, d := range shape {
		words[i] = "?"
		if d != nil {
			words[i] = fmt.Sprint(d)
		}
	}
	return "[" + strings.Join(words, ", ") + "]"
}
