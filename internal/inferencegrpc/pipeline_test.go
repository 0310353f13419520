package inferencegrpc

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	boxed "github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/examples/triage"
	pb "github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb"
	"github.com/blindbox/blindbox/model"
	"github.com/blindbox/blindbox/onnx/onnxtest"
)

// colours is a pipeline that tells how red, green and blue a picture is.
func colours() fs.FS {
	mean := onnxtest.ModelAt(17, onnxtest.Input("x", 1, 1, 3, 8, 8),
		onnxtest.Node("", "ReduceMean", []string{"x"}, []string{"mean"}, onnxtest.AttrInts("axes", 2, 3), onnxtest.AttrInt("keepdims", 0)),
		onnxtest.Output("mean", 1, 1, 3))
	return fstest.MapFS{
		"pipeline.yaml": {Data: []byte("model: m.onnx\ninput: {image: {resize: 8, crop: 8}}\noutput: [top: 3, labels: labels.txt]\n")},
		"labels.txt":    {Data: []byte("red\ngreen\nblue\n")},
		"m.onnx":        {Data: mean},
	}
}

// pipelines is a server of folders.
func pipelines(t testing.TB, folders map[string]fs.FS) http.Handler {
	t.Helper()
	var loaded []model.Loaded
	for name, folder := range folders {
		p, err := boxed.Pack(folder)
		if err != nil {
			t.Fatal(err)
		}
		m, err := model.LoadFrom(name, [32]byte{}, io.NewSectionReader(p, 0, p.Size()))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, m)
	}
	h, err := model.NewServer(loaded)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// elements are those of a tensor of BYTES: each behind its length.
func elements(t testing.TB, raw []byte) (all []string) {
	t.Helper()
	for len(raw) > 0 {
		if len(raw) < 4 || len(raw)-4 < int(binary.LittleEndian.Uint32(raw)) {
			t.Fatalf("%x is no tensor of BYTES", raw)
		}
		n := 4 + int(binary.LittleEndian.Uint32(raw))
		all, raw = append(all, string(raw[4:n])), raw[n:]
	}
	return all
}

func onePNG(t testing.TB, c color.Color) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 20, 10))
	for i := range 200 {
		m.Set(i%20, i/20, c)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestPipelines: what people have goes through gRPC as BYTES, texts and pictures, in the
// message's contents and raw, and labels and scores come back; the metadata says both.
func TestPipelines(t *testing.T) {
	c := client(t, serve(t, pipelines(t, map[string]fs.FS{"triage": triage.Folder(), "colours": colours()})))
	green, red := onePNG(t, color.NRGBA{R: 10, G: 200, B: 90, A: 255}), onePNG(t, color.NRGBA{R: 255, A: 255})
	for _, q := range []struct {
		model, input string
		items        [][]byte
		width        int
		labels       []string
	}{
		{"triage", "text", [][]byte{[]byte("Severe chest PAIN!"), []byte("a refund for the invoice, médecin 的")}, 2, []string{"emergency", "appointment", "billing", "emergency"}},
		{"colours", "image", [][]byte{green, red}, 3, []string{"green", "blue", "red", "red", "green", "blue"}},
	} {
		meta, err := c.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: q.model})
		if err != nil || meta.Platform != "blindbox_pipeline" || len(meta.Inputs) != 1 || meta.Inputs[0].Name != q.input || meta.Inputs[0].Datatype != "BYTES" {
			t.Errorf("%s: %v, %v", q.model, meta, err)
		}
		in := &pb.ModelInferRequest_InferInputTensor{Name: q.input, Datatype: "BYTES", Shape: []int64{int64(len(q.items))}}
		for name, ask := range map[string]*pb.ModelInferRequest{
			"contents": {ModelName: q.model, Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape, Contents: &pb.InferTensorContents{BytesContents: q.items}}}},
			"raw":      {ModelName: q.model, Inputs: []*pb.ModelInferRequest_InferInputTensor{in}, RawInputContents: [][]byte{lengthed(q.items)}},
		} {
			a, err := c.ModelInfer(t.Context(), ask)
			if err != nil {
				t.Errorf("%s, %s: %v", q.model, name, err)
				continue
			}
			for i, out := range a.Outputs {
				if !slices.Equal(out.Shape, []int64{int64(len(q.items)), int64(q.width)}) && out.Name != "tokens" {
					t.Errorf("%s, %s: %s has the shape %v", q.model, name, out.Name, out.Shape)
				}
				switch out.Name {
				case "label":
					if got := elements(t, a.RawOutputContents[i]); !slices.Equal(got, q.labels) {
						t.Errorf("%s, %s: labels %q, expected %q", q.model, name, got, q.labels)
					}
				case "score":
					if first := math.Float32frombits(binary.LittleEndian.Uint32(a.RawOutputContents[i])); out.Datatype != "FP32" || !(first > 0.5 && first <= 1) {
						t.Errorf("%s, %s: the first score is %v, of %s", q.model, name, first, out.Datatype)
					}
				}
			}
		}
	}
	_, err := c.ModelInfer(t.Context(), &pb.ModelInferRequest{ModelName: "colours", Inputs: []*pb.ModelInferRequest_InferInputTensor{{
		Name: "image", Datatype: "BYTES", Shape: []int64{1}, Contents: &pb.InferTensorContents{BytesContents: [][]byte{[]byte("GIF89a")}}}}})
	if err == nil || !strings.Contains(err.Error(), "element 0: not a picture that can be read") {
		t.Errorf("error %v", err)
	}
}

// lengthed writes elements as a tensor of BYTES has them.
func lengthed(items [][]byte) (raw []byte) {
	for _, item := range items {
		raw = append(binary.LittleEndian.AppendUint32(raw, uint32(len(item))), item...)
	}
	return raw
}
