// Package op is the operators: what each node of a model means. An operator says
// which types and shapes it gives for which it takes, and computes. [Table] lists them
// all, family by family. What they share is in need.go (what is refused), info.go (what is
// known), attributes.go, and, for loops over elements, elementwise.go, words.go and
// vectors.go. docs/onnx.md shows how to add one, step by step, and the form of a file.
//
// It knows nothing of files, names of values, plans or memory limits: whoever calls
// Run has inferred the shapes, held them to the limits and brought the memory.
package op

import (
	"fmt"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Operator is one node's computation, with its attributes read and checked. It is
// immutable and safe for concurrent use.
type Operator interface {
	// Infer returns the type and, as far as it follows from what is known of the
	// operands, the shape of every result. An operand that the model leaves out is
	// nil. If all operands are complete and have values, so are the results, unless
	// the operator is a Maker.
	Infer(in []*Info) ([]Info, error)
	// Run computes the results into out, every element of them. Their shapes are those
	// of Infer; what their elements hold before is of no meaning. A result that nobody
	// reads is there too. Run is not called if no result has an element. What operands
	// hold (indices, divisors) is for Run to check: Infer sees values of constants only.
	Run(env *Env, in, out []*tensor.Tensor) error
}

// Env is what a run lends to an operator for the time of one call.
type Env struct {
	On      *kernel.On
	Scratch []float32 // as many as the operator asked for; they hold anything
	New     func(t tensor.DataType, shape []int64) (*tensor.Tensor, error)
	Steps   *int64 // what is left of the turns that all loops of the run may take together
	Engine  any    // the run itself, for the bodies that the engine made
	// Keep tells the engine that the operator holds on to values while it goes on; they
	// count as alive until it returns.
	Keep func(values ...*tensor.Tensor)
	// Hold counts bytes that are not of the elements of a tensor: lists, the text of
	// strings. An error says that the run may not have them.
	Hold func(bytes int64) error
}

// Viewer is an operator whose result has the elements of operand 0 under another
// shape. The engine lets both share memory and does not call Run.
type Viewer interface{ View() }

// InPlacer is an operator whose result 0 may take the memory of one of these
// operands, if it has the same size and nobody reads it afterwards: the operator
// reads each element of that operand before it writes the same one of the result.
type InPlacer interface{ InPlace() []int }

// Scratcher is an operator that needs memory while it runs: so many float32.
type Scratcher interface {
	Scratch(on *kernel.On, in []*Info) int64
}

// Maker is an operator that makes its results by itself, since what they take only
// shows while it runs: lists, the bodies of If, Loop and Scan. It is called instead of
// Run and takes memory through env.New. What it returns may share memory with its
// operands.
type Maker interface {
	Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error)
}

// Cheap is an operator whose Run costs no more than a few passes over operands and
// results, so that it is worth running once, while a session is made, when all operands
// are known then.
type Cheap interface{ Cheap() }

// Dear is an operator whose work does not follow from the sizes of operands and
// results: it runs in a run only, which has a deadline, however small they are.
type Dear interface{ Dear() }

// Packer is an operator that can prepare itself for operands that never change, such
// as the weights of a product. fixed(i) is operand i if it is one of these, else nil.
// The operator that it returns does the same and reads none of the operands in unread,
// which it is given as nil; so the engine can let go of them. A nil operator says that
// there is nothing to prepare. What takes long ends with on's context.
type Packer interface {
	Pack(on *kernel.On, fixed func(i int) *tensor.Tensor, in []*Info) (packed Operator, unread []int, err error)
}

// Overwriter is a Packer that can lay out operands in their own memory, so that they
// are not there twice. own(i) says that nobody reads operand i, now or later, but this
// operator. The Packer that it returns then lays that out in the same memory, if at all.
type Overwriter interface {
	Overwrite(own func(i int) bool) Packer
}

// Holder is what a Packer becomes whose prepared form may be much larger than the operands
// that it stands for. PackedBytes is the memory of that form.
type Holder interface{ PackedBytes() int64 }

// Grower is a Packer that becomes a Holder. WillPack is how many bytes its form will take;
// 0 if it is not known or if there will be none.
type Grower interface {
	Packer
	WillPack(level kernel.Level, in []*Info) int64
}

// Sharer is a Packer from whose prepared form others can read the rows of a matrix: of
// operand i, if Shares says so.
type Sharer interface {
	Packer
	Shares(i int, in []*Info) bool
}

// RowReader is what a Sharer becomes: it copies row i of the matrix that it shares.
type RowReader interface{ ReadRow(dst []float32, i int) }

// Follower is an operator that may read its operand 0 from where another operator has
// laid it out, so that a matrix that both read is there once. Follows says whether it
// may, and Follow returns the operator that does, for the same operands; it is given nil
// as operand 0.
type Follower interface {
	Follows(in []*Info) bool
	Follow(from RowReader, in []*Info) Operator
}

// Settler is an operator that can prepare itself for shapes, which are all known: what it
// returns does the same for these shapes, and faster.
type Settler interface {
	Settle(level kernel.Level, in []*Info) Operator
}

// Body is a graph inside a node: a branch or the inside of a loop.
type Body interface {
	Inputs() []Info // what the graph declares of its own inputs
	Captured() int  // values that it reads from the graph around it
	Outputs() int
	// Infer and Run take the graph's own inputs, then what it captures.
	Infer(in []*Info) ([]Info, error)
	Run(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error)
}

// Chooser is an operator that runs one of several bodies. If operand 0 is known before
// the run, so is which: its results are those of the body, and it needs no step.
type Chooser interface {
	Choose(condition *tensor.Tensor) (Body, error)
}

// Spec says how many operands and results a node may have, since which version of the
// operator set it exists, and makes its operator from its attributes. A node with
// bodies has what they capture as further operands, behind those that Spec counts.
type Spec struct {
	MinIn, MaxIn int
	MaxOut       int
	Make         func(a *Attributes, opset int64) (Operator, error)
	Since        int64 // 0: always
	NoOut        bool  // may have no result
}

// Variadic is more operands than any limit lets through.
const Variadic = 1 << 30

// Table lists every operator, by name. Names of another domain than the standard one
// have it in front, with a colon.
func Table() map[string]Spec {
	table := map[string]Spec{}
	for _, family := range []map[string]Spec{
		stateOperators(),
		activationOperators(),
		argOperators(),
		arithmeticOperators(),
		castOperators(),
		channelNormOperators(),
		constantOperators(),
		convolutionOperators(),
		cumulateOperators(),
		flowOperators(),
		foldOperators(),
		fourierOperators(),
		generateOperators(),
		imageOperators(),
		learnedOperators(),
		linearOperators(),
		listOperators(),
		logicOperators(),
		lossOperators(),
		matrixOperators(),
		moveOperators(),
		normalizeOperators(),
		poolOperators(),
		quantizeOperators(),
		randomOperators(),
		recurrentOperators(),
		reduceOperators(),
		regionOperators(),
		selectOperators(),
		shapeOperators(),
		softmaxOperators(),
		textOperators(),
		transformerOperators(),
		unaryOperators(),
	} {
		for name, spec := range family {
			table[name] = spec
		}
	}
	return table
}

// always makes the same operator for every node.
func always(o Operator) func(*Attributes, int64) (Operator, error) {
	return func(*Attributes, int64) (Operator, error) { return o, nil }
}

// maker is the part that Makers share.
type maker struct{}

// Run is not called: Make is.
func (maker) Run(*Env, []*tensor.Tensor, []*tensor.Tensor) error { return errMade }

// check holds the number of operands and results to the spec.
func (s Spec) check(in, out int) error {
	if in < s.MinIn || in > s.MaxIn {
		return fmt.Errorf("has %d inputs, expected %s", in, between(s.MinIn, s.MaxIn))
	}
	if out < 1 && !s.NoOut || out > s.MaxOut {
		return fmt.Errorf("has %d outputs, expected %s", out, between(1, s.MaxOut))
	}
	return nil
}

func between(low, high int) string {
	switch {
	case low == high:
		return fmt.Sprint(low)
	case high == Variadic:
		return fmt.Sprintf("%d or more", low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}
