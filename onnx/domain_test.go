package onnx

import (
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/op"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestDomainsOfOperators: an operator whose domain the reader does not know could never
// be met.
func TestDomainsOfOperators(t *testing.T) {
	for name := range op.Table() {
		of, _, outside := strings.Cut(name, ":")
		if !outside {
			of = ""
		}
		if _, known := newest(of); !known {
			t.Errorf("no model may use %s: its domain is refused", name)
		}
	}
}

// TestOperatorOfOnnxruntime: what its optimizer writes is read, within the one version
// that its domain has.
func TestOperatorOfOnnxruntime(t *testing.T) {
	gelu := pb.Model(pb.Input("x", 1, 3), pb.Call("com.microsoft", "Gelu", []string{"x"}, []string{"y"}), pb.Output("y", 1, 3))
	imports := func(version int64) []byte { return pb.Msg(8, pb.Str(1, "com.microsoft"), pb.Int(2, version)) }
	m, err := Parse(append(gelu, imports(1)...), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSession(m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{"x": tensor.List[float32](-30, 0, 30)})
	if err != nil {
		t.Fatal(err)
	}
	if y := tensor.Data[float32](out["y"]); y[1] != 0 || y[2] != 30 {
		t.Errorf("got %v", y)
	}
	_, err = Parse(append(gelu, imports(2)...), DefaultLimits())
	wantError(t, err, `operator set version 2 of "com.microsoft", this engine has 1 to 1`)
	_, err = Parse(gelu, DefaultLimits())
	wantError(t, err, `does not say which version of the operator set "com.microsoft"`)
}
