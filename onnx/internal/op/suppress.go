package op

import (
	"cmp"
	"math"
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// suppress picks boxes by their score, the best first, and leaves out those that
// overlap a better one too much. Operands: boxes [batch, n, 4], scores [batch, classes,
// n], how many to pick for each class, the overlap that is too much, the score that is
// too low.
type suppress struct {
	maker
	centre bool // boxes are x, y, width, height, not two corners y, x
}

func makeSuppress(a *Attributes, _ int64) (Operator, error) {
	return suppress{centre: a.flag("center_point_box", false)}, nil
}

func (o suppress) Infer(in []*Info) ([]Info, error) {
	for i, t := range []tensor.DataType{tensor.Float32, tensor.Float32, tensor.Int64, tensor.Float32, tensor.Float32} {
		if i >= 2 && !present(in, i) {
			continue
		}
		if err := needType(in, i, t); err != nil {
			return nil, err
		}
		if i >= 2 {
			if err := needOne(in, i); err != nil {
				return nil, err
			}
		}
	}
	if err := needRank(in, 0, 3, "boxes of rank 3"); err != nil {
		return nil, err
	}
	if err := needRank(in, 1, 3, "scores of rank 3"); err != nil {
		return nil, err
	}
	if in[0].Ranked {
		want := []int64{-1, -1, 4}
		if in[1].Ranked {
			want[0], want[1] = in[1].Shape[0], in[1].Shape[2]
		}
		if err := sameShape(in[0].Shape, want); err != nil {
			return nil, &OperandError{0, err}
		}
	}
	return []Info{ranked(tensor.Int64, -1, 3)}, nil
}

func (o suppress) Make(env *Env, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	most, overlap, score := int64(0), float32(0), float32(math.Inf(-1))
	if present(in, 2) {
		most = tensor.Data[int64](in[2])[0]
	}
	if present(in, 3) {
		overlap = tensor.Data[float32](in[3])[0]
	}
	if present(in, 4) {
		score = tensor.Data[float32](in[4])[0]
	}
	batch, classes, n := in[1].Shape[0], in[1].Shape[1], int(in[1].Shape[2])
	var picked [][]int32
	total := int64(0)
	for lane := range int(batch * classes) {
		if err := env.On.Err(); err != nil {
			return nil, err
		}
		first := lane / int(classes) * n * 4
		p := picking{boxes: tensor.Data[float32](in[0])[first : first+4*n], scores: tensor.Data[float32](in[1])[lane*n : (lane+1)*n], overlap: overlap, centre: o.centre}
		if err := p.pick(env, most, score); err != nil {
			return nil, err
		}
		picked = append(picked, p.picked)
		total += int64(len(p.picked))
	}
	out, err := env.New(tensor.Int64, []int64{total, 3})
	if err != nil {
		return nil, err
	}
	data := tensor.Data[int64](out)
	for lane, boxes := range picked {
		for _, box := range boxes {
			data[0], data[1], data[2] = int64(lane)/classes, int64(lane)%classes, int64(box)
			data = data[3:]
		}
	}
	return []*tensor.Tensor{out}, nil
}

// picking is the picking of boxes for one class of one image.
type picking struct {
	boxes, scores []float32
	overlap       float32
	centre        bool
	picked        []int32
}

// pick goes through the boxes from the best on.
func (p *picking) pick(env *Env, most int64, score float32) error {
	var order []int32
	for i, s := range p.scores {
		if s > score || score == float32(math.Inf(-1)) {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(cmp.Compare(p.scores[b], p.scores[a]), cmp.Compare(a, b)) })
	done := 0
	for _, box := range order {
		if int64(len(p.picked)) >= most {
			break
		}
		if done += len(p.picked); done > 1<<14 {
			done = 0
			if err := env.On.Err(); err != nil {
				return err
			}
		}
		if !slices.ContainsFunc(p.picked, func(better int32) bool { return p.overlaps(box, better) }) {
			p.picked = append(p.picked, box)
		}
	}
	return nil
}

// corners gives a box as its smaller and greater coordinates.
func (p *picking) corners(i int32) (low, high [2]float32) {
	b := p.boxes[4*i : 4*i+4]
	if p.centre {
		return [2]float32{b[0] - b[2]/2, b[1] - b[3]/2}, [2]float32{b[0] + b[2]/2, b[1] + b[3]/2}
	}
	return [2]float32{min(b[0], b[2]), min(b[1], b[3])}, [2]float32{max(b[0], b[2]), max(b[1], b[3])}
}

// overlaps says whether what two boxes share is too much of what they cover together.
func (p *picking) overlaps(a, b int32) bool {
	lowA, highA := p.corners(a)
	lowB, highB := p.corners(b)
	height := min(highA[0], highB[0]) - max(lowA[0], lowB[0])
	width := min(highA[1], highB[1]) - max(lowA[1], lowB[1])
	if !(height > 0 && width > 0) {
		return false
	}
	areaA := (highA[0] - lowA[0]) * (highA[1] - lowA[1])
	areaB := (highB[0] - lowB[0]) * (highB[1] - lowB[1])
	shared := height * width
	together := areaA + areaB - shared
	return areaA > 0 && areaB > 0 && together > 0 && shared/together > p.overlap
}
