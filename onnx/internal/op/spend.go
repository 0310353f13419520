package op

import "github.com/blindbox/blindbox/onnx/tensor"

// Spender is an operator that with these operands takes as much memory as they do, or
// its results, through env.New while it runs: its plan does not say all that a run takes.
// Lists as long as a dimension and lines of numbers do not count.
type Spender interface{ Spends(in []*Info) bool }

// wide says whether an operand is to be converted to float32 or float64 first.
func wide(in []*Info) bool {
	for _, v := range in {
		if v != nil && v.Type != tensor.Float32 {
			return true
		}
	}
	return false
}

func (loss) Spends([]*Info) bool          { return true }
func (dft) Spends([]*Info) bool           { return true }
func (stft) Spends([]*Info) bool          { return true }
func (det) Spends([]*Info) bool           { return true }
func (recall) Spends([]*Info) bool        { return true }
func (einsum) Spends([]*Info) bool        { return true }
func (*treeEnsemble) Spends([]*Info) bool { return true }
func (meanVariance) Spends([]*Info) bool  { return true }
func (logSumExp) Spends([]*Info) bool     { return true }
func (o resize) Spends([]*Info) bool      { return o.mode != "nearest" }
func (rotary) Spends(in []*Info) bool     { return wide(in[:1]) }
func (gridSample) Spends(in []*Info) bool { return wide(in) }
func (affineGrid) Spends(in []*Info) bool { return wide(in[:1]) }
func (reduce) Spends(in []*Info) bool     { return wide(in[:1]) }
func (layerNorm) Spends(in []*Info) bool  { return wide(in) }
func (o attend) Spends(in []*Info) bool   { return o.causal || o.softcap != 0 || len(in) > 3 || wide(in) }
