package generated

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestOffsets(t *testing.T) {
	type tile struct {
		data []float32
		row  int
	}
	for name, c := range map[string]struct{ source, want string }{
		"right":      {"const (\n\tfieldData = 0\n\tfieldRow  = 24\n)\n", ""},
		"moved":      {"const (\n\tfieldData = 0\n\tfieldRow  = 16\n)\n", "field row is at 24"},
		"renamed":    {"const (\n\tfieldData = 0\n\tfieldCol  = 24\n)\n", "says Col at 24"},
		"left out":   {"const (\n\tfieldData = 0\n)\n", "1 offsets, expected one for each of 2"},
		"other name": {"const (\n\ttileData = 0\n)\n", "0 offsets"},
	} {
		source := filepath.Join(t.TempDir(), "layout.go")
		if err := os.WriteFile(source, []byte(c.source), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Offsets(reflect.TypeOf(tile{data: nil, row: 0}), source, "field")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestFiles writes one file by a generator of its own.
func TestFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("gen", 0o700); err != nil {
		t.Fatal(err)
	}
	write("go.mod", "module generated.example\n")
	write("gen/main.go", "package main\n\nimport \"os\"\n\nfunc main() {\n\tif os.WriteFile(os.Args[2], []byte(\"by hand\\nADD\\n\"), 0o600) != nil {\n\t\tos.Exit(1)\n\t}\n}\n")
	write("a.s", "by go generate\nADD\n")
	if err := Files("-out", "a.s"); err != nil {
		t.Error(err)
	}
	write("a.s", "by go generate\nSUB\n")
	if err := Files("-out", "a.s"); err == nil || !strings.Contains(err.Error(), "a.s is not what the generator writes") {
		t.Errorf("another file is accepted: %v", err)
	}
	if err := os.Remove("gen/main.go"); err != nil {
		t.Fatal(err)
	}
	if err := Files("-out", "a.s"); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("no generator: %v", err)
	}
}
