package tumour_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// record is one line of testdata/held_out.json, which train.py writes.
type record struct {
	Record        int
	Features      []float32
	True          int
	Probabilities []float64
	Label         int64
}

func records(t testing.TB) []record {
	t.Helper()
	data, err := os.ReadFile("testdata/held_out.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []record
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func session(t testing.TB) *onnx.Session {
	t.Helper()
	m, err := onnx.Parse(tumour.Model(), onnx.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := onnx.NewSession(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func batch(rs []record) map[string]*tensor.Tensor {
	var x []float32
	for _, r := range rs {
		x = append(x, r.Features...)
	}
	return map[string]*tensor.Tensor{"features": tensor.Of(x, int64(len(rs)), 30)}
}

func TestDigestIsTheModels(t *testing.T) {
	sum := sha256.Sum256(tumour.Model())
	if got := hex.EncodeToString(sum[:]); got != tumour.SHA256 {
		t.Errorf("SHA256 is %s, the model's is %s", tumour.SHA256, got)
	}
}

func TestHeldOutRecordsAgreeWithOnnxruntime(t *testing.T) {
	s, all := session(t), records(t)
	if len(all) < 50 {
		t.Fatalf("%d records", len(all))
	}
	together, err := s.Run(t.Context(), batch(all))
	if err != nil {
		t.Fatal(err)
	}
	correct := 0
	for i, r := range all {
		alone, err := s.Run(t.Context(), batch(all[i:i+1]))
		if err != nil {
			t.Fatal(err)
		}
		p := tensor.Data[float32](alone["probabilities"])
		if !slices.Equal(p, tensor.Data[float32](together["probabilities"])[2*i:2*i+2]) {
			t.Errorf("record %d answers differently in a batch", r.Record)
		}
		for j, want := range r.Probabilities {
			if math.Abs(float64(p[j])-want) > 1e-5 {
				t.Errorf("record %d: got %v, onnxruntime %v", r.Record, p, r.Probabilities)
			}
		}
		if got := tensor.Data[int64](alone["label"])[0]; got != r.Label {
			t.Errorf("record %d: got label %d, onnxruntime %d", r.Record, got, r.Label)
		}
		if int(tensor.Data[int64](alone["label"])[0]) == r.True {
			correct++
		}
	}
	if correct != 112 { // README.md: 112/114
		t.Errorf("%d of %d correct", correct, len(all))
	}
}

func TestSampleIsAHeldOutRecordWithItsTrueLabel(t *testing.T) {
	request, label := tumour.Sample()
	var q struct {
		ID     string
		Inputs []struct {
			Name, Datatype string
			Shape          []int64
			Data           []float32
		}
	}
	if err := json.Unmarshal(request, &q); err != nil {
		t.Fatal(err)
	}
	in := q.Inputs[0]
	for _, r := range records(t) {
		if q.ID != fmt.Sprintf("record-%d", r.Record) {
			continue
		}
		if !slices.Equal(in.Data, r.Features) || tumour.Labels()[r.True] != label {
			t.Errorf("sample differs from record %d", r.Record)
		}
		return
	}
	t.Errorf("%s is not among the held-out records", q.ID)
}

func TestFeaturesMatchTheInput(t *testing.T) {
	names := tumour.Features()
	in := session(t).Inputs()
	if len(in) != 1 || in[0].Name != "features" || !slices.Equal(in[0].Shape, []int64{-1, int64(len(names))}) {
		t.Errorf("%d names for input %v", len(names), in)
	}
	if names[0] != "mean radius" || names[29] != "worst fractal dimension" {
		t.Errorf("names: %q", names)
	}
}

// BenchmarkTumour reports the median run as p50-ns: the mean counts whatever
// else the machine did.
func BenchmarkTumour(b *testing.B) {
	s, all := session(b), records(b)
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			in := batch(all[:n])
			var spent []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				if _, err := s.Run(b.Context(), in); err != nil {
					b.Fatal(err)
				}
				spent = append(spent, time.Since(start))
			}
			slices.Sort(spent)
			b.ReportMetric(float64(spent[len(spent)/2].Nanoseconds()), "p50-ns")
		})
	}
}
