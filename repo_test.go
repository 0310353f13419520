// Package blindbox_test holds the rules of the repository that a compiler does
// not: who may import whom, what is linked into the box, what every package
// must say about itself.
package blindbox_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/blindbox/blindbox"

// goFiles returns every Go file of the repository that is not a test and not
// test data, parsed, by path.
func goFiles(t *testing.T) (*token.FileSet, map[string]*ast.File) {
	t.Helper()
	fset, files := token.NewFileSet(), map[string]*ast.File{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if name := d.Name(); name != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		files[filepath.ToSlash(path)] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files: the walk is wrong", len(files))
	}
	return fset, files
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

// TestPackageComments: each package has exactly one comment, in one file, that
// is long enough to say which question the package answers.
func TestPackageComments(t *testing.T) {
	_, files := goFiles(t)
	comments, packages := map[string][]string{}, map[string]bool{}
	for path, f := range files {
		packages[dirOf(path)] = true
		if f.Doc != nil {
			comments[dirOf(path)] = append(comments[dirOf(path)], f.Doc.Text())
		}
	}
	for dir := range packages {
		if n := len(comments[dir]); n != 1 {
			t.Errorf("%s: %d package comments, expected 1", dir, n)
		} else if len(comments[dir][0]) < 80 {
			t.Errorf("%s: the package comment says too little: %q", dir, comments[dir][0])
		}
	}
}

// mayImport lists, for each part of the tree, the parts of ours it may import.
// A part that is not listed may import nothing of ours. The longest matching
// prefix decides.
var mayImport = map[string][]string{
	"attest":                     {},
	"attest/snp":                 {"attest", "attest/internal/pki"},
	"attest/tdx":                 {"attest", "attest/internal/dcap", "attest/internal/pki", "attest/internal/tcg"},
	"attest/sgx":                 {"attest", "attest/internal/dcap", "attest/internal/pki"},
	"attest/nitro":               {"attest", "attest/internal/pki"},
	"attest/tpm":                 {"attest", "attest/form", "attest/internal/pki", "attest/internal/tcg"},
	"attest/azure":               {"attest", "attest/snp", "attest/tdx", "attest/tpm", "attest/form", "attest/internal/pki", "internal/strictjson"},
	"attest/nvgpu":               {"attest", "attest/form", "attest/internal/pki", "internal/strictjson"},
	"attest/pcs":                 {"attest", "attest/internal/dcap", "attest/internal/pki", "internal/strictjson"},
	"attest/composite":           {"attest", "attest/form", "attest/internal/pki"},
	"attest/form":                {"attest", "attest/internal/blob"},
	"attest/sim":                 {"attest", "attest/snp", "attest/internal/amdforge"},
	"attest/device":              {"attest", "attest/form", "attest/internal/cbor"},
	"attest/launch":              {"attest", "attest/form", "attest/internal/cbor"},
	"attest/attesttest":          {"attest", "attest/form", "attest/internal", "internal/race"},
	"attest/attesttest/dcaptest": {"attest", "attest/attesttest", "attest/internal", "attest/pcs", "appraise"},
	"attest/attesttest/casetest": {"attest", "attest/attesttest", "internal/vector", "appraise"},
	"attest/internal/blob":       {},
	"attest/internal/cbor":       {},
	"attest/internal/tcg":        {},
	"attest/internal/pki":        {"attest"},
	"attest/internal/dcap":       {"attest", "attest/internal/pki", "internal/strictjson"},
	"attest/internal/amdforge":   {},
	"attest/internal/intelforge": {},
	"attest/internal/awsforge":   {},
	"attest/internal/tpmforge":   {},
	"attest/internal/nvforge":    {},
	"endorse":                    {"attest", "attest/form", "attest/snp", "attest/pcs", "attest/nvgpu", "internal/strictjson"},
	"appraise":                   {"attest", "attest/snp", "attest/tdx", "attest/sgx", "attest/nitro", "attest/tpm", "attest/azure", "attest/nvgpu", "attest/composite", "policy", "internal/strictyaml"},
	"atls":                       {"attest"},
	"policy":                     {"internal/batches", "internal/strictyaml"},
	"policy/learn":               {"policy"},
	"onnx":                       {},
	"onnx/onnxtest":              {"onnx"},
	"model":                      {"onnx", "tokenize", "internal/batches", "internal/bodies", "internal/sizes", "internal/strictjson", "internal/strictyaml"},
	"tokenize":                   {"internal/strictjson"},
	"receipt":                    {"attest", "internal/jws", "internal/strictjson"},
	"internal/batches":           {},
	"internal/bodies":            {},
	"internal/jws":               {},
	"box":                        {"attest", "attest/launch", "atls", "policy", "model", "onnx", "internal", "receipt"},
	"box/peers/judge":            {"attest", "attest/snp", "attest/sgx", "attest/nitro", "attest/sim", "appraise", "box/peers/wire"},
	"client":                     {"attest", "attest/snp", "attest/tdx", "attest/sgx", "attest/nitro", "attest/tpm", "attest/azure", "attest/nvgpu", "attest/composite", "attest/sim", "endorse", "appraise", "atls", "policy", "receipt"},
	"client/models":              {"model/bundle", "model/foreign", "model/pipeline", "internal/sizes"},
	"examples":                   {},
	"examples/search":            {"client", "client/models", "appraise"},
	"internal/sizes":             {},
	"internal/strictyaml":        {},
	"internal/strictjson":        {},
	"internal/catalogue":         {"attest"},
	"internal/inspect":           {"attest", "attest/form"},
	"internal/connect":           {"attest", "appraise", "client", "internal/catalogue", "internal/inferencegrpc"},
	"internal/inferencegrpc":     {},
	"internal/compose":           {"policy"},
	"internal/registry":          {"box/sandbox/oci"},
	"internal/garbage":           {},
	"internal/longer":            {},
	"internal/peers":             {},
	"internal/race":              {},
	"internal/testrun":           {},
	"internal/mutants":           {},
	"internal/fuzzrun":           {},
	"internal/vector":            {"internal/strictjson", "attest", "attest/snp", "attest/tdx", "attest/sgx", "attest/nitro", "attest/tpm", "attest/azure", "attest/nvgpu", "attest/composite"},
	"web":                        {"attest", "internal/vector"},
	"bench":                      {},
	"bench/onnx":                 {"bench/host", "onnx"},
	"cmd/boxd":                   {"attest", "attest/device", "endorse", "atls", "policy", "model", "box", "internal", "examples"},
	"cmd/boxverify":              {"box/peers/judge"},
	"cmd/blindbox":               {"attest", "endorse", "appraise", "atls", "policy", "onnx", "model", "box", "client", "internal", "examples", "receipt"},
}

func longestPrefix(table map[string][]string, dir string) (string, bool) {
	for d := dir; ; d = dirOf(d) {
		if _, ok := table[d]; ok {
			return d, true
		}
		if d == "." || !strings.Contains(d, "/") {
			return "", false
		}
	}
}

func allowed(rule string, list []string, target string) bool {
	if target == rule || strings.HasPrefix(target, rule+"/") {
		return true // inside one part
	}
	return slices.ContainsFunc(list, func(a string) bool {
		// "attest" means that one package for those who must not see a vendor's.
		if a == "attest" && !strings.HasPrefix(rule, "cmd/") {
			return target == a
		}
		return target == a || strings.HasPrefix(target, a+"/")
	})
}

func TestImportDirections(t *testing.T) {
	_, files := goFiles(t)
	for path, f := range files {
		rule, ok := longestPrefix(mayImport, dirOf(path))
		if !ok {
			t.Errorf("%s: no rule says what %s may import; add one to mayImport", path, dirOf(path))
			continue
		}
		for _, spec := range f.Imports {
			target, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
			if ours && !allowed(rule, mayImport[rule], target) {
				t.Errorf("%s imports %s: not allowed for %s", path, target, rule)
			}
		}
	}
}

// linked returns every package in a build for linux/amd64, the platform of the box.
func linked(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", pkg)
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	return strings.Fields(string(out))
}

// TestLinked: some things must never get into a binary, by whatever way.
func TestLinked(t *testing.T) {
	never := map[string][]string{
		"./cmd/boxd": {
			module + "/attest/snp", module + "/attest/tdx", module + "/attest/sgx", module + "/attest/nitro", module + "/attest/tpm",
			module + "/attest/azure", module + "/attest/nvgpu", module + "/attest/composite", module + "/attest/pcs", module + "/attest/sim", module + "/attest/attesttest",
			module + "/attest/internal/pki", module + "/attest/internal/dcap", module + "/attest/internal/tcg",
			module + "/box/peers/judge", module + "/appraise", module + "/client", module + "/image", "testing", "github.com/spf13/cobra", "os/user", "plugin",
		},
		"./cmd/boxverify": {
			// It reads what strangers made: nothing that speaks to anybody, starts
			// anything or signs anything.
			module + "/attest/attesttest", module + "/attest/device", module + "/atls", module + "/client", module + "/endorse",
			module + "/box/callers", module + "/box/ingress", module + "/box/process", module + "/box/sandbox", module + "/box/egress", "net/http", "os/exec", "crypto/tls", "testing", "os/user", "plugin",
		},
		"./cmd/blindbox":  {module + "/attest/attesttest", "testing", "github.com/google/go-sev-guest"},
		"./appraise":      {"net/http", "testing"},
		"./policy":        {"net/http", "net"},
		"./policy/learn":  {"net/http", "os/exec"},
		"./attest":        {"net", "net/http", "os/exec"},
		"./attest/snp":    {"net/http", "os/exec"},
		"./attest/sim":    {"net/http", "testing"},
		"./attest/device": {"net/http"},
		"./atls":          {"net/http", module + "/attest/snp", "testing"},
		"./onnx":          {"net", "os/exec", "C"},
	}
	for pkg, banned := range never {
		for _, dep := range linked(t, pkg) {
			for _, b := range banned {
				if dep == b || (strings.Contains(b, ".") && strings.HasPrefix(dep, b+"/")) {
					t.Errorf("%s links %s", pkg, dep)
				}
			}
		}
	}
}

// TestNoClock: verifying and appraising take the time as an argument, so that
// evidence can be judged at any time and tests need no waiting.
func TestNoClock(t *testing.T) {
	fset, files := goFiles(t)
	for path, f := range files {
		if !strings.HasPrefix(path, "attest/") && !strings.HasPrefix(path, "appraise/") && !strings.HasPrefix(path, "policy/") {
			continue
		}
		if strings.HasPrefix(path, "attest/device/") || strings.HasPrefix(path, "attest/attesttest/") {
			continue // drives hardware with deadlines; test support
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since" || sel.Sel.Name == "Until") {
				t.Errorf("%s: time.%s", fset.Position(sel.Pos()), sel.Sel.Name)
			}
			return true
		})
	}
}

// TestHygiene: no side effects at import, no hidden gaps, no name that says nothing.
func TestHygiene(t *testing.T) {
	fset, files := goFiles(t)
	empty := []string{"util", "utils", "common", "helpers", "core", "types", "misc", "shared", "base"}
	gap := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for path, f := range files {
		if slices.Contains(empty, f.Name.Name) {
			t.Errorf("%s: package %s says nothing", path, f.Name.Name)
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !ast.IsGenerated(f) {
				t.Errorf("%s: func init", fset.Position(fn.Pos()))
			}
		}
		for _, group := range f.Comments {
			if m := gap.FindString(group.Text()); m != "" {
				t.Errorf("%s: %s", fset.Position(group.Pos()), m)
			}
		}
		for _, spec := range f.Imports {
			if spec.Path.Value == `"testing"` && !strings.HasPrefix(path, "attest/attesttest/") {
				t.Errorf("%s imports testing", path)
			}
		}
	}
}

// TestMakefile: at most twelve targets, each with a line of help.
func TestMakefile(t *testing.T) {
	out, err := exec.Command("make", "-s", "help").Output()
	if err != nil {
		t.Skipf("make: %v", err)
	}
	targets := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(targets) == 0 || len(targets) > 12 {
		t.Errorf("%d targets, expected 1 to 12:\n%s", len(targets), out)
	}
}

// TestOnlyForDevelopers: what watches an app, or lets it run with less around it than
// the policy says, is for a box on a developer's own machine and in no box that is one.
func TestOnlyForDevelopers(t *testing.T) {
	only := []string{"Learning", "Around", "OneUser", "OneOwner", "Loosen", "Unenforced", "Wanted", "InsecureDisk"}
	_, files := goFiles(t)
	for path, f := range files {
		if dirOf(path) != "cmd/boxd" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && slices.Contains(only, id.Name) {
				t.Errorf("%s has %s, which no box may have", path, id.Name)
			}
			return true
		})
	}
}
