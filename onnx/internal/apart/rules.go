package apart

import "github.com/blindbox/blindbox/onnx/internal/graph"

// rule says where the results of a step have their rows. It is asked if an operand has
// rows, and no operator has shown results to be known. What it does not know it refuses.
type rule func(*step) ([]int, error)

// rules lists the operators that are known to leave rows apart, in what they do along
// which axis. Shapes have been inferred: what does not fit was refused.
func rules() map[string]rule {
	all := map[string]rule{
		"MatMul": matmul, "MatMulInteger": matmul, "Gemm": gemm,
		"Softmax": softmax, "LogSoftmax": softmax, "Hardmax": softmax,
		"LayerNormalization": trailing, "RMSNormalization": trailing,
		"LpNormalization": summed(-1), "CumSum": cumulated, "TopK": along(-1),
		"MeanVarianceNormalization": meanVariance, "BatchNormalization": batchNorm,
		"ArgMax": arg, "ArgMin": arg,
		"Reshape": reshaped, "Flatten": reshaped, "Squeeze": reshaped, "Unsqueeze": reshaped,
		"Transpose": transposed, "Expand": expanded, "Concat": concatenated, "Split": along(0),
		"Slice": sliced, "Pad": padded, "Trilu": trilu,
		"Gather": gather, "GatherElements": gatherElements, "GatherND": gatherND, "OneHot": oneHot,
		"QuantizeLinear": quantized, "DequantizeLinear": quantized, "Dropout": dropout, "CastLike": castLike,
	}
	for _, kind := range []struct {
		names []string
		rule  rule
	}{{elementwise(), broadcast}, {images(), perImage}, {reductions(), reduced}} {
		for _, name := range kind.names {
			all[name] = kind.rule
		}
	}
	return all
}

// elementwise operators make each element of elements at the same place.
func elementwise() []string {
	return []string{
		"Add", "Sub", "Mul", "Div", "Mod", "Pow", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot",
		"Max", "Min", "Sum", "Mean", "And", "Or", "Xor", "Not", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual",
		"Where", "Cast", "Identity", "Clip", "PRelu", "Abs", "Neg", "Sign", "Relu", "IsNaN", "IsInf",
		"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh", "Sin", "Sinh", "Tan", "Tanh",
		"Ceil", "Floor", "Round", "Exp", "Log", "Sqrt", "Erf", "Reciprocal", "Sigmoid", "HardSwish", "Mish", "Softplus", "Softsign",
		"LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "ThresholdedRelu", "Gelu", "Swish", "Shrink", "com.microsoft:Gelu",
	}
}

// images are operators that treat each image of [images, channels, ...] by itself.
func images() []string {
	return []string{
		"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "AveragePool", "MaxPool", "LpPool",
		"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "InstanceNormalization", "GroupNormalization",
		"LRN", "DepthToSpace", "SpaceToDepth",
	}
}

func reductions() []string {
	return []string{"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
		"ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"}
}

// broadcast is elementwise: rows lie on one axis of the result, counted from the end,
// and nothing else has more than one element there.
func broadcast(s *step) ([]int, error) {
	if _, old := s.attr("broadcast", graph.Int); old { // before operator set 7 operands were not aligned at their ends
		return nil, mixes("broadcasts as before operator set 7")
	}
	at, err := s.aligned(0, len(s.in))
	if err != nil {
		return nil, err
	}
	return s.each(at), nil
}

// aligned finds the axis of result 0 on which operands i to j-1 have their rows.
func (s *step) aligned(i, j int) (int, error) {
	rank, at := len(s.one[0].Shape), same
	for k := i; k < j; k++ {
		axis, err := s.axis(k)
		if err != nil {
			return 0, err
		}
		if axis == same {
			continue
		}
		here := axis + rank - len(s.in[k].one.Shape)
		if at != same && at != here {
			return 0, mixes("operands have rows on different axes")
		}
		at = here
	}
	if at < 0 {
		return 0, mixes("no operand has rows")
	}
	return at, s.alone(i, j, at)
}

// alone refuses operands with more than one element on the axis of the rows that are
// not of rows, and rows that are broadcast on it.
func (s *step) alone(i, j, at int) error {
	rank, length := len(s.one[0].Shape), s.one[0].Shape[at]
	for k := i; k < j; k++ {
		if !s.has(k) {
			continue
		}
		axis, err := s.axis(k)
		if err != nil {
			return err
		}
		shape := s.in[k].one.Shape
		own := at - rank + len(shape)
		switch {
		case axis != same && shape[axis] != length:
			return mixes("rows of operand %d are broadcast to %d", k, length)
		case axis == same && own >= 0 && shape[own] != 1:
			return mixes("operand %d has %d elements where rows lie side by side", k, shape[own])
		}
	}
	return nil
}

// perImage takes rows on the first axis, and weights.
func perImage(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	if axis != 0 || len(s.Outputs) != 1 { // a second result of a pool has places in the whole tensor
		return nil, mixes("expected one result, and rows on axis 0 of operand 0, not %d", axis)
	}
	return s.each(0), nil
}

// batchNorm is perImage with statistics that are weights.
func batchNorm(s *step) ([]int, error) {
	if s.Opset < 7 || s.int("training_mode", 0) != 0 {
		return nil, mixes("takes its statistics from all rows")
	}
	return perImage(s)
}

// along leaves rows apart on every axis but the attribute's.
func along(otherwise int64) rule {
	return func(s *step) ([]int, error) {
		axis, err := s.only(0)
		if err != nil {
			return nil, err
		}
		return s.across(axis, s.int("axis", otherwise))
	}
}

// summed is along of operators that add up, which they do in another order where nothing
// lies behind their axis than where something does: a single row must not be all of that.
func summed(otherwise int64) rule {
	return func(s *step) ([]int, error) {
		axis, err := s.only(0)
		if err != nil {
			return nil, err
		}
		along := from(s.int("axis", otherwise), len(s.in[0].one.Shape))
		if along < axis {
			return nil, mixesOrder(along, axis)
		}
		return s.across(axis, int64(along))
	}
}

func mixesOrder(along, axis int) error {
	return mixes("adds up along axis %d, before axis %d, on which rows lie: in an order that depends on how many there are", along, axis)
}

// across keeps the axis of rows unless it is the one that is worked along.
func (s *step) across(axis int, along int64) ([]int, error) {
	if axis == from(along, len(s.in[0].one.Shape)) {
		return nil, mixes("works along axis %d, on which rows lie", axis)
	}
	return s.each(axis), nil
}

// softmax works along one axis, and before operator set 13 along all from one on.
func softmax(s *step) ([]int, error) {
	if s.Opset >= 13 {
		return summed(-1)(s)
	}
	return before(s, 1)
}

// trailing works along all axes from one on.
func trailing(s *step) ([]int, error) { return before(s, -1) }

func before(s *step, otherwise int64) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	if first := from(s.int("axis", otherwise), len(s.in[0].one.Shape)); axis >= first {
		return nil, mixes("works along the axes from %d on, and rows lie on %d", first, axis)
	}
	return s.each(axis), nil
}

// cumulated works along the axis that operand 1 names.
func cumulated(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	list, there, err := s.list("", 1)
	if err != nil {
		return nil, err
	}
	if !there || len(list) != 1 {
		return nil, mixes("has no axis")
	}
	return s.across(axis, list[0])
}

// arg takes the place of the largest along one axis, 0 if none is named.
func arg(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	along := from(s.int("axis", 0), len(s.in[0].one.Shape))
	if s.int("keepdims", 1) == 0 && along < axis {
		return s.each(axis - 1), nil
	}
	return s.across(axis, int64(along))
}

// reduced works along the axes that are named, or along all.
func reduced(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	list, _, err := s.list("axes", 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && s.int("noop_with_empty_axes", 0) == 0 {
		return nil, mixes("takes all rows together")
	}
	gone := 0
	for _, a := range list {
		along := from(a, len(s.in[0].one.Shape))
		if along == axis {
			return nil, mixes("works along axis %d, on which rows lie", axis)
		}
		if along < axis && !exact(s.Op) {
			return nil, mixesOrder(along, axis)
		}
		if along < axis {
			gone++
		}
	}
	if s.int("keepdims", 1) == 1 {
		gone = 0
	}
	return s.each(axis - gone), nil
}

// exact are reductions whose results do not depend on an order.
func exact(name string) bool { return name == "ReduceMax" || name == "ReduceMin" }

// meanVariance works along axes of an attribute, of which 0 is one if none are named.
func meanVariance(s *step) ([]int, error) {
	if _, ok := s.attr("axes", graph.Ints); !ok {
		return nil, mixes("takes the mean of all rows")
	}
	return reduced(s) // it has no keepdims: all axes stay
}
