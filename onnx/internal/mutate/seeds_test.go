package mutate_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/mutate"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// seed is a model to start from, with the files of the values that it was published
// with, in the order of its inputs.
type seed struct {
	name   string
	model  []byte
	tree   *mutate.Message
	inputs [][]byte
}

// largest is the size of a model that is worth to be changed: more is weights.
const largest = 1 << 14

// seeds are the demo's model, quantized networks, some that are written here, the
// cases that the ONNX project publishes and real models, as far as `make test` has
// fetched them. Of the published ones every n-th is taken.
func seeds(t testing.TB, every int) []seed {
	t.Helper()
	all := written(t)
	for _, name := range files(t, "../../testdata/quantized/*.onnx", "../../../examples/tumour/tumour.onnx") {
		all = append(all, seedOf(t, filepath.Base(name), read(t, os.DirFS(filepath.Dir(name)), filepath.Base(name))))
	}
	dir := cache("BLINDBOX_CONFORMANCE", "conformance")
	all = append(all, published(t, "", os.DirFS(filepath.Join(dir, "debian/usr/share/libonnx-testdata/data")), every)...)
	for _, name := range files(t, filepath.Join(dir, "onnx-*.whl")) {
		z, err := zip.OpenReader(name)
		if err != nil {
			t.Fatal(err)
		}
		inside, err := fs.Sub(z, "onnx/backend/test/data")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, published(t, "wheel ", inside, every)...)
		z.Close()
	}
	for few, often := realModels(t), 1+len(all)/200; often > 0; often-- { // one in fifty
		all = append(all, few...)
	}
	return all
}

// cache is where `make test` has put what it fetched.
func cache(variable, name string) string {
	if dir := os.Getenv(variable); dir != "" {
		return dir
	}
	return filepath.Join("../../../.cache", name)
}

func files(t testing.TB, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names...)
	}
	sort.Strings(all)
	return all
}

func read(t testing.TB, dir fs.FS, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func seedOf(t testing.TB, name string, model []byte) seed {
	t.Helper()
	tree, err := mutate.Read(mutate.Model, model)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return seed{name: name, model: model, tree: tree}
}

func published(t testing.TB, prefix string, dir fs.FS, every int) []seed {
	t.Helper()
	models, err := fs.Glob(dir, "*/*/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	var all []seed
	for i := 0; i < len(models); i += every {
		data := read(t, dir, models[i])
		if len(data) > largest {
			continue
		}
		s := seedOf(t, prefix+path.Dir(models[i]), data)
		for n := 0; ; n++ {
			value, err := fs.ReadFile(dir, fmt.Sprintf("%s/test_data_set_0/input_%d.pb", path.Dir(models[i]), n))
			if err != nil {
				break
			}
			s.inputs = append(s.inputs, value)
		}
		all = append(all, s)
	}
	return all
}

// written are what the engine fuses most, so that they are near whatever is fetched.
func written(t testing.TB) []seed {
	t.Helper()
	of := func(names ...string) []string { return names }
	x := pb.Input("x", 1, "n", 8)
	var weights []float32
	for i := range 64 {
		weights = append(weights, float32(i%7)-3)
	}
	w, b := pb.Initializer(pb.Floats("w", []int64{8, 8}, weights...)), pb.Initializer(pb.Floats("b", []int64{8}, weights[:8]...))
	turns := func(dims ...int64) []byte { return pb.AttrInts("perm", dims...) }
	list := map[string][]byte{
		"attention": pb.Model(pb.Input("x", 1, 1, "s", 8), w, b, pb.Initializer(pb.Ints("heads", []int64{4}, 0, 0, 2, 4)), pb.Initializer(pb.Ints("flat", []int64{3}, 0, 0, 8)),
			pb.Node("", "MatMul", of("x", "w"), of("q0")), pb.Node("", "Add", of("q0", "b"), of("q1")), pb.Node("", "Reshape", of("q1", "heads"), of("q2")), pb.Node("", "Transpose", of("q2"), of("q"), turns(0, 2, 1, 3)),
			pb.Node("", "MatMul", of("x", "w"), of("k0")), pb.Node("", "Reshape", of("k0", "heads"), of("k2")), pb.Node("", "Transpose", of("k2"), of("k"), turns(0, 2, 3, 1)),
			pb.Node("", "MatMul", of("x", "w"), of("v0")), pb.Node("", "Reshape", of("v0", "heads"), of("v2")), pb.Node("", "Transpose", of("v2"), of("v"), turns(0, 2, 1, 3)),
			pb.Node("", "MatMul", of("q", "k"), of("s0")), pb.Node("", "Softmax", of("s0"), of("s1"), pb.AttrInt("axis", -1)), pb.Node("", "MatMul", of("s1", "v"), of("o0")),
			pb.Node("", "Transpose", of("o0"), of("o1"), turns(0, 2, 1, 3)), pb.Node("", "Reshape", of("o1", "flat"), of("y")), pb.OpenOutput("y", 1)),
		"layers": pb.Model(x, w, b, pb.Node("", "MatMul", of("x", "w"), of("a")), pb.Node("", "Add", of("a", "b"), of("c")), pb.Node("", "Relu", of("c"), of("d")),
			pb.Node("", "Add", of("d", "x"), of("e")), pb.Node("", "LayerNormalization", of("e", "b", "b"), of("f"), pb.AttrInt("axis", -1)), pb.Node("", "Gemm", of("f", "w", "b"), of("y"), pb.AttrInt("transB", 1)), pb.OpenOutput("y", 1)),
		"branches": pb.Model(x, pb.Input("c", 9), pb.Node("", "If", of("c"), of("y"),
			pb.AttrGraph("then_branch", pb.Node("", "Neg", of("x"), of("p")), pb.OpenOutput("p", 1)), pb.AttrGraph("else_branch", pb.Node("", "Identity", of("x"), of("q")), pb.OpenOutput("q", 1))), pb.OpenOutput("y", 1)),
		"loop": pb.Model(x, pb.Input("m", 7), pb.Node("", "Loop", of("m", "", "x"), of("y", "z"),
			pb.AttrGraph("body", pb.Input("i", 7), pb.Input("go", 9), pb.Input("s", 1, "n", 8), pb.Node("", "Add", of("s", "x"), of("t")), pb.Node("", "Softmax", of("t"), of("u")),
				pb.Node("", "Identity", of("go"), of("on")), pb.Output("on", 9), pb.OpenOutput("t", 1), pb.OpenOutput("u", 1))), pb.OpenOutput("y", 1), pb.OpenOutput("z", 1)),
	}
	var all []seed
	for _, name := range []string{"attention", "layers", "branches", "loop"} {
		all = append(all, seedOf(t, name, list[name]))
	}
	return all
}

// TestReadAndAppend: what is taken apart and not changed is what it was.
func TestReadAndAppend(t *testing.T) {
	for _, s := range seeds(t, 5) {
		if !bytes.Equal(s.tree.Append(nil), s.model) {
			t.Errorf("%s is not itself", s.name)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range seeds(f, 200) {
		f.Add(s.model)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := mutate.Read(mutate.Model, data)
		if err != nil {
			return
		}
		again, err := mutate.Read(mutate.Model, m.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), m.Append(nil)) {
			t.Fatalf("is not read again: %v", err)
		}
	})
}

// TestBrokenParts: what should be a message inside is one, for the changes rely on it.
func TestBrokenParts(t *testing.T) {
	number := []byte{7<<3 | 2, 2, 12 << 3, 1} // in the place of an output
	if _, err := mutate.Read(mutate.Model, number); err == nil {
		t.Error("a number is taken for a message")
	}
}
