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
	"strings"
	"testing"
)

// TestTileLayout: the assembly reads fields by their offsets.
func TestTileLayout(t *testing.T) {
	checkLayout(t, reflect.TypeFor[tile](), "gen/kernel.go", "tile")
	checkLayout(t, reflect.TypeFor[poolTile](), "gen/pool.go", "pool")
	checkLayout(t, reflect.TypeFor[inward](), "gen/winograd.go", "inward")
	checkLayout(t, reflect.TypeFor[outward](), "gen/winograd.go", "outward")
}

func checkLayout(t *testing.T, fields reflect.Type, file, prefix string) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\t`+prefix+`(\w+) += (\d+)$`).FindAllStringSubmatch(string(source), -1)
	if len(found) != fields.NumField() {
		t.Fatalf("%s: %d offsets for %d fields", file, len(found), fields.NumField())
	}
	for i, f := range found {
		if field := fields.Field(i); f[2] != strconv.Itoa(int(field.Offset)) || !strings.EqualFold(f[1], field.Name) {
			t.Errorf("field %s is at %d, %s says %s at %s", field.Name, field.Offset, file, f[1], f[2])
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
