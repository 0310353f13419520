package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// suite is one published set of cases.
type suite struct {
	origin string // where the cases are from, for people
	prefix string // before the names of its groups
	files  fs.FS  // group/case/model.onnx
	closer io.Closer
	groups []group
}

// group is a directory of cases, in the order of their names.
type group struct {
	name  string
	cases []*testCase
}

// groupNames are the groups with data to run. The others (light, real) name
// models that would have to be downloaded.
func groupNames() []string {
	return []string{"node", "simple", "pytorch-converted", "pytorch-operator"}
}

const (
	debianData = "libonnx-testdata"
	debianPath = "debian/usr/share/libonnx-testdata/data"
	wheelPath  = "onnx/backend/test/data"
)

// errNoData says that nothing has been fetched.
var errNoData = errors.New("no test data: run `make conformance`")

// openSuites finds Debian's package, unpacked in dir/debian, and the wheels of
// package onnx in dir.
func openSuites(dir string) ([]suite, error) {
	var suites []suite
	if debian := filepath.Join(dir, filepath.FromSlash(debianPath)); isDir(debian) {
		suites = append(suites, suite{origin: "Debian " + debianVersion(dir), files: os.DirFS(debian)})
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "onnx-*.whl"))
	if err != nil {
		return nil, err
	}
	for _, name := range wheels {
		s, err := openWheel(name)
		if err != nil {
			closeSuites(suites)
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		suites = append(suites, s)
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, errNoData)
	}
	for i := range suites {
		if err := suites[i].list(); err != nil {
			closeSuites(suites)
			return nil, fmt.Errorf("%s: %w", suites[i].origin, err)
		}
	}
	return suites, nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// debianVersion is in the name of the archive beside what was unpacked from it.
func debianVersion(dir string) string {
	names, err := filepath.Glob(filepath.Join(dir, debianData+"_*.deb"))
	if err != nil || len(names) != 1 {
		return debianData
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(names[0]), debianData+"_"), "_")
	return debianData + " " + strings.TrimSuffix(name, ".deb")
}

// openWheel reads the cases out of a wheel, which is a zip archive.
func openWheel(name string) (suite, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return suite{}, err
	}
	files, err := fs.Sub(z, wheelPath)
	if err != nil {
		z.Close()
		return suite{}, err
	}
	version := strings.Join(strings.SplitN(filepath.Base(name), "-", 3)[:2], "-")
	return suite{origin: "PyPI " + strings.Replace(version, "-", " ", 1), prefix: version + " ", files: files, closer: z}, nil
}

func closeSuites(suites []suite) {
	for _, s := range suites {
		if s.closer != nil {
			s.closer.Close()
		}
	}
}

// list finds the cases of every group.
func (s *suite) list() error {
	for _, name := range groupNames() {
		entries, err := fs.ReadDir(s.files, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		g := group{name: name}
		for _, e := range entries {
			if e.IsDir() {
				g.cases = append(g.cases, &testCase{name: e.Name(), dir: name + "/" + e.Name()})
			}
		}
		s.groups = append(s.groups, g)
	}
	if !slices.ContainsFunc(s.groups, func(g group) bool { return g.name == "node" }) {
		return errors.New("has no group node")
	}
	return nil
}

func (g *group) passed() int {
	n := 0
	for _, c := range g.cases {
		if c.err == nil {
			n++
		}
	}
	return n
}

// explain prints what is not passed.
func (g *group) explain(w io.Writer) {
	for _, c := range g.cases {
		if c.err != nil {
			fmt.Fprintf(w, "  %s (%s): %v\n", c.name, c.about, c.err)
		}
	}
}
