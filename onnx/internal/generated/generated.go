// Package generated answers, for tests of the kernels: is the assembly in the repository
// what its generator writes, and does the generator know where the fields lie that it
// reads? Only tests import it.
package generated

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Files runs the generator in ./gen and compares what it writes with the files of this
// folder. args are its arguments, in which a name of a file stands for that file. The
// first line of a file is left out: it says the command.
func Files(args ...string) error {
	dir, err := os.MkdirTemp("", "generated")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	command := exec.Command("go", "run", "./gen")
	command.Env = append(os.Environ(), "GOOS=", "GOARCH=") // this machine's, whatever the tests are built for
	var names []string
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			names = append(names, a)
			a = filepath.Join(dir, a)
		}
		command.Args = append(command.Args, a)
	}
	if log, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("the generator does not run: %w\n%s", err, log)
	}
	var all error
	for _, name := range names {
		all = errors.Join(all, same(name, filepath.Join(dir, name)))
	}
	return all
}

func same(kept, written string) error {
	want, err := os.ReadFile(kept)
	if err != nil {
		return err
	}
	got, err := os.ReadFile(written)
	if err != nil {
		return err
	}
	if _, got, _ = bytes.Cut(got, []byte("\n")); !bytes.HasSuffix(want, got) {
		return fmt.Errorf("%s is not what the generator writes: run go generate", kept)
	}
	return nil
}

// Offsets compares the fields of a struct, in bytes from its beginning, with the constants
// of the generator's source that begin with prefix, in the same order: fieldRow = 24.
func Offsets(fields reflect.Type, source, prefix string) error {
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(?m)^\t`+prefix+`(\w+) += (\d+)$`).FindAllStringSubmatch(string(text), -1)
	if len(found) != fields.NumField() {
		return fmt.Errorf("%s has %d offsets, expected one for each of %d fields", source, len(found), fields.NumField())
	}
	for i, f := range found {
		if field := fields.Field(i); f[2] != strconv.Itoa(int(field.Offset)) || !strings.EqualFold(f[1], field.Name) {
			return fmt.Errorf("field %s is at %d, %s says %s at %s", field.Name, field.Offset, source, f[1], f[2])
		}
	}
	return nil
}
