package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
	"slices"
	"testing"

	"github.com/blindbox/blindbox/onnx"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// coloured is a bundle that tells how red, green and blue a picture is.
func coloured(t testing.TB) []byte {
	t.Helper()
	const float32Type = 1
	mean := pb.ModelAt(17,
		pb.Input("x", float32Type, 1, 3, 8, 8),
		pb.Node("", "ReduceMean", []string{"x"}, []string{"mean"}, pb.AttrInts("axes", 2, 3), pb.AttrInt("keepdims", 0)),
		pb.Output("mean", float32Type, 1, 3))
	return files{
		"pipeline.yaml": "model: m.onnx\ninput: {image: {resize: 8, crop: 8}}\noutput: [top: 3, labels: labels.txt]\n",
		"labels.txt":    "red\ngreen\nblue\n",
		"m.onnx":        string(mean),
	}.pack(t)
}

func pngOf(t testing.TB, w, h int, c color.Color) string {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.Set(i%w, i/w, c)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

// TestPicture: pictures go to a pipeline as the bytes of their files, several in one request.
func TestPicture(t *testing.T) {
	m := mustLoad(t, "colours", coloured(t))
	share := onnx.NewBudget(1 << 20).Share()
	defer share.Release()
	in := tensor.List(pngOf(t, 20, 10, color.NRGBA{R: 10, G: 200, B: 90, A: 255}), pngOf(t, 9, 30, color.NRGBA{R: 255, A: 255}))
	out, err := m.ready.run(t.Context(), map[string]*tensor.Tensor{"image": in}, share, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	if got := tensor.Data[string](out["label"]); !slices.Equal(got, []string{"green", "blue", "red", "red", "green", "blue"}) {
		t.Errorf("%q", got)
	}
}

// TestPictureMemory: what a picture takes while it is decoded counts before it is decoded, and not
// after the run.
func TestPictureMemory(t *testing.T) {
	m := mustLoad(t, "colours", coloured(t))
	file := []byte(pngOf(t, 8, 8, color.White))
	binary.BigEndian.PutUint32(file[16:], 4000)
	binary.BigEndian.PutUint32(file[20:], 3000)
	bomb := map[string]*tensor.Tensor{"image": tensor.List(string(file))}
	share := onnx.NewBudget(50 << 20).Share()
	defer share.Release()
	if _, err := m.ready.run(t.Context(), bomb, share, atOnce); !errors.Is(err, onnx.ErrLimit) {
		t.Errorf("%v", err)
	}
	budget := onnx.NewBudget(100 << 20)
	first, second := budget.Share(), budget.Share()
	defer second.Release()
	if err := first.Take(50 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ready.run(t.Context(), bomb, second, atOnce); !errors.Is(err, onnx.ErrBusy) {
		t.Errorf("%v", err)
	}
	first.Release()
	if _, err := m.ready.run(t.Context(), bomb, second, atOnce); err == nil || errors.Is(err, onnx.ErrBusy) {
		t.Errorf("a damaged file: %v", err)
	}
	if err := budget.Share().Take(100 << 20); err != nil {
		t.Errorf("after the runs: %v", err)
	}
}

// TestPictureRefused: a caller is told which picture cannot be read, and nothing of what is in it.
func TestPictureRefused(t *testing.T) {
	h, err := NewServer([]Loaded{mustLoad(t, "colours", coloured(t))})
	if err != nil {
		t.Fatal(err)
	}
	body := `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["secret-words"]}]}`
	status, answer, _ := call(t, h, "POST", "/v2/models/colours/infer", body)
	if text, _ := answer["error"].(string); status != 400 || text != `input "image", element 0: not a picture that can be read: expected a PNG or a JPEG file` {
		t.Errorf("%d %v", status, answer)
	}
}
