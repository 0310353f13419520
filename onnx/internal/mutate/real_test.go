package mutate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/internal/mutate"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// realModels are those that `make test` fetches, with all of their nodes and few of
// their weights: a run takes a millisecond.
func realModels(t testing.TB) []seed {
	t.Helper()
	picture := func(dims ...int64) []byte { return pb.Floats("x", dims, waves(dims)...) }
	ids := pb.Ints("ids", []int64{1, 5}, 1, 1, 1, 1, 1)
	var all []seed
	for _, m := range []struct {
		name   string
		to     map[int64]int64 // sizes that are not multiples of eight, or heads
		inputs [][]byte
	}{
		{"ppocr-v4-det", nil, [][]byte{picture(1, 3, 32, 32)}},
		{"ppocr-v4-rec", map[int64]int64{15: 2, 120: 16, 240: 32, 360: 48, 6625: 40, 48: 48}, [][]byte{picture(1, 3, 48, 16)}},
		{"silero-vad", map[int64]int64{130: 18, 65: 9, 258: 34, 129: 17}, [][]byte{picture(1, 64), picture(2, 1, 16), pb.Ints("sr", nil, 16000)}},
		{"minilm-l6-int8", map[int64]int64{384: 24, 1536: 96, 32: 2, 30522: 40, 512: 128}, [][]byte{ids, ids, ids}},
	} {
		data, err := os.ReadFile(filepath.Join(cache("BLINDBOX_MODELS", "models"), m.name+".onnx"))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s := seedOf(t, m.name, data)
		s.tree = mutate.Shrink(s.tree, m.to)
		s.model, s.inputs = s.tree.Append(nil), m.inputs
		all = append(all, s)
	}
	return all
}

// waves are numbers from -1 to 1.
func waves(dims []int64) []float32 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i*7%200)/100 - 1
	}
	return out
}

// TestShrink: what is left of a real model is still one, which loads, and runs on inputs
// that fit.
func TestShrink(t *testing.T) {
	for _, s := range realModels(t) {
		m, err := onnx.Parse(s.model, limits())
		if err != nil {
			t.Errorf("%s, %d bytes: %v", s.name, len(s.model), err)
			continue
		}
		session, err := onnx.NewSession(m)
		if err != nil {
			t.Errorf("%s, %d bytes: %v", s.name, len(s.model), err)
			continue
		}
		give := giver{Choice: mutate.NewChoice(nil)}
		in := map[string]*tensor.Tensor{}
		for i, v := range session.Inputs() {
			give.recorded = s.inputs
			in[v.Name] = give.file(i, v)
		}
		if _, err := session.Run(t.Context(), in); err != nil {
			t.Errorf("%s, %d bytes: %v", s.name, len(s.model), err)
		}
	}
}
