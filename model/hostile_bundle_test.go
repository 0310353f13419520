package model

import (
	"strings"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// TestHostileBundles: what a model says of its own shapes ends its loading, and not the process.
func TestHostileBundles(t *testing.T) {
	const int64Type, float32Type = 7, 1
	text := "input: {text: {tokenizer: tokenizer.json, length: 8, pad: '[UNK]'}}\n"
	open := strings.ReplaceAll(text, ", pad: '[UNK]'", "")
	ids := func(tokens any) []byte { return pb.Input("input_ids", int64Type, "n", tokens) }
	for _, c := range []struct {
		name, document string
		model          []byte
		says           string
	}{
		{"many tokens", text + "output: [softmax]\n", pb.ModelAt(17,
			ids(int64(1)<<40), pb.Input("attention_mask", int64Type, "n", int64(1)<<40),
			pb.Initializer(pb.Ints("to", []int64{2}, 1, 2)),
			pb.Node("", "Shape", []string{"input_ids"}, []string{"shape"}),
			pb.Node("", "Cast", []string{"shape"}, []string{"sizes"}, pb.AttrInt("to", float32Type)),
			pb.Node("", "Reshape", []string{"sizes", "to"}, []string{"y"}),
			pb.Output("y", float32Type, "n", 2)), "expected at most 32768 tokens"},
		{"nothing that is wide", open + "output: [pool: mean]\n", pb.ModelAt(17,
			ids("m"), pb.Initializer(pb.Ints("shape", []int64{3}, 1, 0, 1<<26)),
			pb.Node("", "ConstantOfShape", []string{"shape"}, []string{"y"}),
			pb.Output("y", float32Type, "a", "b", "c")), "at most 1048576 in the last dimension"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := triaged(t, files{"pipeline.yaml": "model: m.onnx\n" + c.document, "m.onnx": string(c.model)})
			delete(f, "triage.onnx")
			delete(f, "labels.txt")
			_, err := LoadFrom("bad", [32]byte{}, strings.NewReader(string(f.pack(t))))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
