package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var checkName = regexp.MustCompile(`^(hardware|code|channel|policy)\.[a-z][a-z0-9_.]*$`)

// checksInSources reads who makes which check with which codes: string literals
// that are names of checks, and the constants Code... in the same call or
// literal.
func checksInSources(t *testing.T) string {
	t.Helper()
	fset := token.NewFileSet()
	files, codes := map[string]*ast.File{}, map[string]string{}
	for _, dir := range []string{"attest", "appraise", "atls", "client"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && (d.Name() == "testdata" || d.Name() == "attesttest" || strings.HasSuffix(d.Name(), "forge")) {
				if d != nil && d.IsDir() {
					return filepath.SkipDir
				}
				return err
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			f, err := parser.ParseFile(fset, path, nil, 0)
			files[filepath.ToSlash(path)] = f
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		constants(f, codes)
	}
	packages, gives := map[string]map[string]bool{}, map[string]map[string]bool{}
	for path, f := range files {
		pkg := strings.TrimPrefix(path[:strings.LastIndexByte(path, '/')], "../../")
		checksOf(f, codes, func(name, code string) {
			if packages[name] == nil {
				packages[name], gives[name] = map[string]bool{}, map[string]bool{}
			}
			packages[name][pkg] = true
			if code != "" {
				gives[name][code] = true
			}
		})
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		list := strings.Join(slices.Sorted(maps.Keys(gives[name])), ",")
		if list == "" {
			list = "-"
		}
		fmt.Fprintln(&b, name, strings.Join(slices.Sorted(maps.Keys(packages[name])), ","), list)
	}
	return b.String()
}

// constants notes the values of the constants Code....
func constants(f *ast.File, codes map[string]string) {
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != len(spec.Values) {
			return true
		}
		for i, id := range spec.Names {
			if lit, ok := spec.Values[i].(*ast.BasicLit); ok && strings.HasPrefix(id.Name, "Code") && lit.Kind == token.STRING {
				codes[f.Name.Name+"."+id.Name], _ = strconv.Unquote(lit.Value)
			}
		}
		return true
	})
}

// checksOf calls found for each name in f, once for each code beside it.
func checksOf(f *ast.File, codes map[string]string, found func(name, code string)) {
	ast.Inspect(f, func(n ast.Node) bool {
		var parts []ast.Expr
		switch n := n.(type) {
		case *ast.BasicLit:
			if name, err := strconv.Unquote(n.Value); err == nil && checkName.MatchString(name) {
				found(name, "")
			}
			return true
		case *ast.CallExpr:
			parts = n.Args
		case *ast.CompositeLit:
			parts = n.Elts
		default:
			return true
		}
		names, beside := direct(f.Name.Name, parts, codes)
		for _, name := range names {
			for _, code := range beside {
				found(name, code)
			}
		}
		return true
	})
}

// direct returns the names and codes among the parts themselves.
func direct(pkg string, parts []ast.Expr, codes map[string]string) (names, beside []string) {
	for _, p := range parts {
		if kv, ok := p.(*ast.KeyValueExpr); ok {
			p = kv.Value
		}
		id := ""
		switch p := p.(type) {
		case *ast.BasicLit:
			if name, err := strconv.Unquote(p.Value); err == nil && checkName.MatchString(name) {
				names = append(names, name)
			}
		case *ast.Ident:
			id = pkg + "." + p.Name
		case *ast.SelectorExpr:
			if x, ok := p.X.(*ast.Ident); ok {
				id = x.Name + "." + p.Sel.Name
			}
		}
		if code, ok := codes[id]; ok {
			beside = append(beside, code)
		}
	}
	return names, beside
}

// TestCheckTable: checks.txt names every check in the sources, with the codes
// that stand beside it there.
func TestCheckTable(t *testing.T) {
	got := checksInSources(t)
	if *update {
		if err := os.WriteFile("checks.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("checks.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(string(data), "\r\n", "\n")
	for _, line := range strings.Split(got, "\n") {
		if !slices.Contains(strings.Split(want, "\n"), line) {
			t.Errorf("+ %s", line)
		}
	}
	for _, line := range strings.Split(want, "\n") {
		if !slices.Contains(strings.Split(got, "\n"), line) {
			t.Errorf("- %s", line)
		}
	}
	if t.Failed() {
		t.Error("checks.txt is not what the sources say: go test ./cmd/blindbox -run TestCheckTable -update")
	}
}

func TestFindChecks(t *testing.T) {
	for in, want := range map[string]string{
		"hardware.signature": "hardware.signature", "tls_exporter": "channel.tls_exporter", "TLS exporter": "channel.tls_exporter",
		"code.measurement": "code.measurement", "hardware.part2_signature": "hardware.signature",
	} {
		got := findChecks(in)
		if len(got) != 1 || got[0].name != want {
			t.Errorf("%q: %v, expected %s", in, got, want)
		}
	}
	for _, in := range []string{"", "hardware", "hardware.", "nothing", "part2_"} {
		if got := findChecks(in); len(got) != 0 {
			t.Errorf("%q: %v", in, got)
		}
	}
	withCodes := 0
	for _, c := range allChecks() {
		group, _, _ := strings.Cut(c.name, ".")
		if groupMeanings[group] == "" {
			t.Errorf("%s: group %s is not explained", c.name, group)
		}
		if len(c.codes) > 0 {
			withCodes++
		}
	}
	if withCodes < 100 {
		t.Errorf("%d checks with codes, expected 100 or more", withCodes)
	}
}
