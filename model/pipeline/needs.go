package pipeline

import "github.com/blindbox/blindbox/onnx/tensor"

// needer is a runner or a source that takes much memory of its own, which depends on what it is
// asked.
type needer interface {
	needs(in map[string]*tensor.Tensor) int64
}

// Needs is how much memory Run takes for these inputs at one time, at most, beside what its models
// take: a picture of a few bytes can be one of a hundred megabytes. It is counted from what files
// say at their beginning; for inputs that Run refuses it says nothing. What is small beside a
// model, such as the tokens of a text, is not counted.
func (p *Pipeline) Needs(in map[string]*tensor.Tensor) int64 {
	n, ok := p.runner.(needer)
	if !ok || p.checkInputs(in) != nil {
		return 0
	}
	return n.needs(in)
}

func (p *plain) needs(in map[string]*tensor.Tensor) int64 {
	if n, ok := p.source.(needer); ok {
		return n.needs(in)
	}
	return 0
}
