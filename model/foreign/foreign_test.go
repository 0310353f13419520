package foreign

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/examples/tumour"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// zipOf is an archive of one entry.
func zipOf(t *testing.T, name string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.Create(name)
	if err == nil {
		_, err = f.Write([]byte("x"))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestOf: what people take for models is named, with the way to one.
func TestOf(t *testing.T) {
	for _, c := range []struct{ file, what, fix string }{
		{"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n", "Git LFS", "git lfs pull"},
		{"\xef\xbb\xbf\n <!DOCTYPE html><html>", "HTML", "curl -fL"},
		{"<html><body>429", "HTML", "curl -fL"},
		{"GGUF\x03\x00\x00\x00", "GGUF", "optimum-cli export onnx"},
		{"\x20\x01\x00\x00\x00\x00\x00\x00{\"__metadata__\"", "safetensors", "optimum-cli export onnx"},
		{"\x08\x00\x00\x00\x00\x00\x00\x00{\"a\":", "safetensors", "optimum-cli export onnx"},
		{zipOf(t, "archive/data.pkl"), "checkpoint of PyTorch", "torch.onnx.export"},
		{zipOf(t, "config.json"), "zip archive", "tf2onnx"},
		{"PK\x03\x04", "zip archive", "Unpack it"},
		{"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "pickle", "optimum-cli export onnx"},
		{"\x89HDF\r\n\x1a\n\x00", "HDF5", "tf2onnx"},
		{"\x1c\x00\x00\x00TFL3", "TensorFlow Lite", "tf2onnx"},
		{"\x24\x00\x00\x00ORTM", ".ort", ".onnx"},
		{"\x1f\x8b\x08", "compressed", "Unpack"},
		{"\x89PNG\r\n", "picture", "the model itself"},
		{"\x93NUMPY\x01", "NumPy", "Export"},
		{"Entry not found", "error of a download", "curl -fL"},
		{strings.Repeat("{\"a\": 1}\n", 100), "JSON", "beside"},
		{"# what may run\nname: clinic\n", "text file", "pipeline.yaml"},
		{"x" + strings.Repeat("é", Head), "text file", "itself"}, // the last letter is cut
	} {
		e := Of([]byte(c.file[:min(len(c.file), Head)]))
		if e == nil || !strings.Contains(e.What, c.what) || !strings.Contains(e.Fix, c.fix) || !strings.Contains(e.Error(), "expected an ONNX model") {
			t.Errorf("%.20q: %+v, expected %s", c.file, e, c.what)
		}
		if e != nil && strings.Contains(e.Fix, "blindbox") {
			t.Errorf("%.20q: %q is for one client alone, and the box says it to all", c.file, e.Fix)
		}
	}
}

// TestModelsAreModels: no model is taken for something else, nor what nobody knows.
func TestModelsAreModels(t *testing.T) {
	for _, file := range []string{
		string(tumour.Model()), string(pb.Model(pb.Input("x", 1, "k"), pb.OpenOutput("x", 1))), "", "\x08", "\x08\x07", "\x08\x00\x12\x07pytorch",
		"\x08\x08\x12\x09ORTModule", "\x08\x08\x12\x04TFL3", // by who has written them
		"2\xc3\xa4\x24" + strings.Repeat("text of a description ", 30), ":\x0bgraph of a graph", "name: x\nand so on\x01", "name: x\nand \xff so on", "no model at all", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x08\x07\x12\x00\x1a\x00\x22\x00{\"a\"", "no\x00model",
	} {
		if e := Of([]byte(file[:min(len(file), Head)])); e != nil {
			t.Errorf("%.20q: %v", file, e)
		}
	}
}

// FuzzOf: whatever a file begins with, looking at it ends.
func FuzzOf(f *testing.F) {
	f.Add([]byte("PK\x03\x04 23456789 123456789 12345\xff\xff"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if e := Of(head); e != nil && (e.What == "" || e.Fix == "") {
			t.Errorf("%+v", e)
		}
	})
}
