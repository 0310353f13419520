//go:build amd64 && !purego

package conv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"testing"
)

// TestTileLayout: the assembly reads fields by their offsets.
func TestTileLayout(t *testing.T) {
	source, err := os.ReadFile("gen/kernel.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\ttile(\w+) += (\d+)$`).FindAllStringSubmatch(string(source), -1)
	if want := reflect.TypeFor[tile]().NumField(); len(found) != want {
		t.Errorf("%d offsets for %d fields", len(found), want)
	}
	for i, f := range found {
		field := reflect.TypeFor[tile]().Field(i)
		if got := f[2]; got != strconv.Itoa(int(field.Offset)) {
			t.Errorf("field %s is at %d, the generator says %s", field.Name, field.Offset, got)
		}
	}
}

func TestGeneratedFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generator")
	}
	dir := t.TempDir()
	files := []string{"tile_amd64.s", "dispatch_amd64.go"}
	cmd := exec.Command("go", "run", "./gen", "-out", filepath.Join(dir, files[0]), "-dispatch", filepath.Join(dir, files[1]))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range files {
		made, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, made, _ = bytes.Cut(made, []byte("\n")); !bytes.HasSuffix(committed, made) { // the first line names the command
			t.Errorf("%s is not what the generator writes: run go generate", name)
		}
	}
}
