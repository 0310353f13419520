package op

import (
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Follows is true for rows of a matrix of float32, such as an embedding.
func (o gather) Follows(in []*Info) bool {
	v := in[0]
	return o.axis == 0 && v.Type == tensor.Float32 && v.Complete() && len(v.Shape) == 2
}

// Follow reads the rows from where a product has them.
func (o gather) Follow(from RowReader, in []*Info) Operator {
	return gatherPacked{o, from, in[0].Shape[0], int(in[0].Shape[1])}
}

// gatherPacked picks rows of a matrix that another operator has laid out.
type gatherPacked struct {
	gather
	from  RowReader
	rows  int64
	width int
}

func (o gatherPacked) Run(env *Env, in, out []*tensor.Tensor) error {
	index, to := indexesOf(in[1]), tensor.Data[float32](out[0])
	for i := range in[1].Len() {
		if err := env.On.Err(); err != nil {
			return err
		}
		n, err := index.in(i, o.rows, 1)
		if err != nil {
			return err
		}
		o.from.ReadRow(to[i*o.width:(i+1)*o.width], n)
	}
	return nil
}
