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

// checkName is the name of a check, in which a * stands for what is only known
// when it is made.
var checkName = regexp.MustCompile(`^(hardware|code|channel|policy|endorsements)\.[a-z*][a-z0-9_.*]*$`)

// trustFileKeys are the places whose strings of that form are keys of trust.yaml.
var trustFileKeys = []string{"appraise/document.go", "appraise/marshal.go", "appraise/kinds.go hardware.gpu"}

// makers are the functions that put a name together from what they are given:
// what they put before which argument.
var makers = map[string]struct {
	before string
	arg    int
}{
	"appraise.partCheck": {"", 2}, // its group is its first argument
	"appraise.name":      {"hardware.", 0},
	"composite.partName": {"hardware.", 1},
	"atls.malformed":     {"channel.", 0},
	"atls.reader":        {"channel.", 0}, // a literal, whose name malformed is called with
}

// madeElsewhere are the places that say no more of a name than its group. They are
// makers, put a device's number before another check's name, or make a key of
// trust.yaml.
var madeElsewhere = []string{
	"appraise/kinds.go *.part*_*", "appraise/kinds.go hardware.*", "atls/message.go channel.*",
	"attest/composite/composite.go hardware.part*_*", "cmd/blindbox/devices.go hardware.device*_*",
}

// scan is what the reading of the sources has found.
type scan struct {
	codes, texts    map[string]string // values of constants, by package.Name
	packages, gives map[string]map[string]bool
	open            []string // places that are in madeElsewhere, or should be
	path            string   // of the file that is read
	local           map[string]string
}

// checksInSources reads who makes which check with which codes: strings that are
// names of checks, put together where they are, and the constants Code... in the
// same call or literal.
func checksInSources(t *testing.T) (table string, open []string) {
	t.Helper()
	files := goFiles(t)
	s := &scan{map[string]string{}, map[string]string{}, map[string]map[string]bool{}, map[string]map[string]bool{}, nil, "", nil}
	paths := slices.Sorted(maps.Keys(files)) // so that of two constants of one name it is always the same that counts
	for _, path := range paths {
		s.constants(files[path])
	}
	for _, path := range paths {
		f := files[path]
		if slices.Contains(trustFileKeys, path) {
			continue
		}
		pkg := path[:strings.LastIndexByte(path, '/')]
		s.path = path
		s.checksOf(f, func(name, code string) {
			if slices.Contains(trustFileKeys, path+" "+name) {
				return
			}
			if s.packages[name] == nil {
				s.packages[name], s.gives[name] = map[string]bool{}, map[string]bool{}
			}
			s.packages[name][pkg] = true
			if code != "" {
				s.gives[name][code] = true
			}
		})
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.packages)) {
		list := strings.Join(slices.Sorted(maps.Keys(s.gives[name])), ",")
		if list == "" {
			list = "-"
		}
		fmt.Fprintln(&b, name, strings.Join(slices.Sorted(maps.Keys(s.packages[name])), ","), list)
	}
	slices.Sort(s.open)
	return b.String(), slices.Compact(s.open)
}

// goFiles parses every file of the module that is in a program or a library, but for
// the box's: it judges nobody's evidence.
func goFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	fset, files := token.NewFileSet(), map[string]*ast.File{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "testdata" || d.Name() == "attesttest" || path == "../../box" || strings.HasSuffix(d.Name(), "forge") || path != "../.." && strings.HasPrefix(d.Name(), ".")) {
			if d != nil && d.IsDir() {
				return filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		files[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// constants notes the values of all constants that are strings.
func (s *scan) constants(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != len(spec.Values) {
			return true
		}
		for i, id := range spec.Names {
			lit, ok := spec.Values[i].(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				continue
			}
			text, _ := strconv.Unquote(lit.Value)
			if strings.HasPrefix(id.Name, "Code") {
				s.codes[f.Name.Name+"."+id.Name] = text
			}
			if id.Name != "name" { // one of many functions' own
				s.texts[f.Name.Name+"."+id.Name] = text
			}
		}
		return true
	})
}

// checksOf calls found for each name in f, once for each code beside it.
func (s *scan) checksOf(f *ast.File, found func(name, code string)) {
	pkg := f.Name.Name
	ast.Inspect(f, func(n ast.Node) bool {
		if decl, ok := n.(*ast.FuncDecl); ok {
			s.local = nameIn(decl)
		}
		if e, ok := n.(ast.Expr); ok {
			if name := s.nameOf(pkg, e); name != "" {
				found(name, "")
				if _, sum := e.(*ast.BinaryExpr); sum {
					return false // its parts are no names
				}
			}
		}
		var parts []ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			parts = n.Args
		case *ast.CompositeLit:
			parts = n.Elts
		default:
			return true
		}
		names, beside := s.direct(pkg, parts)
		for _, name := range names {
			for _, code := range beside {
				found(name, code)
			}
		}
		return true
	})
}

// nameIn is the constant "name" of a function, if it has one.
func nameIn(decl *ast.FuncDecl) map[string]string {
	local := map[string]string{}
	ast.Inspect(decl, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 || spec.Names[0].Name != "name" {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			local["name"], _ = strconv.Unquote(lit.Value)
		}
		return true
	})
	return local
}

// direct returns the names and codes among the parts themselves.
func (s *scan) direct(pkg string, parts []ast.Expr) (names, beside []string) {
	for _, p := range parts {
		if kv, ok := p.(*ast.KeyValueExpr); ok {
			p = kv.Value
		}
		if code, ok := s.codes[identifier(pkg, p)]; ok {
			beside = append(beside, code)
		} else if name := s.nameOf(pkg, p); name != "" {
			names = append(names, name)
		}
	}
	return names, beside
}

// identifier is package.Name for a name of this package or another.
func identifier(pkg string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return pkg + "." + e.Name
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name + "." + e.Sel.Name
		}
	}
	return ""
}

// nameOf is the name of a check that an expression makes, "" if it makes none.
func (s *scan) nameOf(pkg string, e ast.Expr) string {
	if name := s.made(pkg, e); name != "" {
		return name
	}
	var name string
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr:
		name = s.text(pkg, e)
	case *ast.BinaryExpr:
		if name = s.text(pkg, e); isStep(e) {
			return name
		}
	case *ast.CallExpr:
		name = s.text(pkg, e)
		if strings.HasPrefix(name, "*.") && strings.HasSuffix(name, "_*") {
			s.open = append(s.open, s.path+" "+name)
		}
	}
	if !checkName.MatchString(name) {
		return ""
	}
	if strings.HasSuffix(name, ".*") || strings.HasSuffix(name, "*_*") {
		s.open = append(s.open, s.path+" "+name)
		return ""
	}
	return name
}

// isStep reports whether an expression is a check's name with a step behind it.
func isStep(e *ast.BinaryExpr) bool {
	right, ok := e.Y.(*ast.BasicLit)
	left := e.X
	if sel, isField := left.(*ast.SelectorExpr); isField {
		left = sel.Sel
	}
	id, named := left.(*ast.Ident)
	return ok && named && id.Name == "name" && e.Op == token.ADD && strings.HasPrefix(right.Value, `"_`)
}

// made is the name that a maker puts together.
func (s *scan) made(pkg string, e ast.Expr) string {
	var args []ast.Expr
	maker := ""
	switch e := e.(type) {
	case *ast.CallExpr:
		maker, args = identifier(pkg, e.Fun), e.Args
	case *ast.CompositeLit:
		maker, args = identifier(pkg, e.Type), e.Elts
	}
	m, ok := makers[maker]
	if !ok || len(args) <= m.arg {
		return ""
	}
	arg := args[m.arg]
	if kv, ok := arg.(*ast.KeyValueExpr); ok {
		arg = kv.Value
	}
	last := s.text(pkg, arg)
	if last == "" || strings.Contains(last, "*") {
		return ""
	}
	if m.before == "" {
		return s.text(pkg, args[0]) + "." + last
	}
	return m.before + last
}

// text is what is known of an expression's value, with a * for each part that is
// not.
func (s *scan) text(pkg string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.Ident, *ast.SelectorExpr:
		if id, ok := e.(*ast.Ident); ok && s.local[id.Name] != "" {
			return s.local[id.Name]
		}
		if text, ok := s.texts[identifier(pkg, e)]; ok {
			return text
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return strings.ReplaceAll(s.text(pkg, e.X)+s.text(pkg, e.Y), "**", "*")
		}
	case *ast.CallExpr:
		if identifier(pkg, e.Fun) == "fmt.Sprintf" {
			return verb.ReplaceAllString(s.text(pkg, e.Args[0]), "*")
		}
	}
	return "*"
}

var verb = regexp.MustCompile(`%[a-z]`)

// TestCheckTable: checks.txt names every check in the sources, with the codes
// that stand beside it there.
func TestCheckTable(t *testing.T) {
	got, open := checksInSources(t)
	if want := slices.Sorted(slices.Values(madeElsewhere)); !slices.Equal(open, want) {
		t.Errorf("names put together in a way that this test cannot read: %q, expected %q", open, want)
	}
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
		"hardware.floor": "hardware.floor", "floor": "hardware.floor", "endorsements.dates": "endorsements.dates",
		"hardware.device3_firmware_id": "hardware.firmware_id", "hardware.part2_driver": "hardware.driver",
		"hardware.vbios_rim": "hardware.vbios_rim", "VBIOS rim": "hardware.vbios_rim",
		"hardware.root_crl_time": "hardware.root_crl_time", "driver rim ocsp time": "hardware.driver_rim_ocsp_time",
		"channel.fast": "channel.fast", "hardware.td_perfmon": "hardware.td_perfmon",
	} {
		got := findChecks(in)
		if len(got) != 1 || got[0].name != want {
			t.Errorf("%q: %v, expected %s", in, got, want)
		}
	}
	for _, in := range []string{"", "hardware", "hardware.", "nothing", "part2_", "hardware._rim", "_time", "nothing_time", "hardware.chips", "hardware.kinds"} {
		if got := findChecks(in); len(got) != 0 {
			t.Errorf("%q: %v", in, got)
		}
	}
	withCodes := 0
	for _, c := range allChecks() {
		group, _, _ := strings.Cut(c.name, ".")
		if groupMeanings[group] == "" && !strings.HasPrefix(c.name, "*_") {
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

var (
	shownName  = regexp.MustCompile(`\b(?:hardware|code|channel|policy|endorsements)\.[a-z][a-z0-9_]*`)
	quotedName = regexp.MustCompile(`"(?:hardware|code|channel|policy|endorsements)\.[a-z][a-z0-9_]*"`)
)

// TestEveryShownCheckIsExplained: whatever name a golden file or a vector shows, a
// user may look up.
func TestEveryShownCheckIsExplained(t *testing.T) {
	names := map[string]string{}
	collect := func(path string, in *regexp.Regexp) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range in.FindAllString(string(data), -1) {
			names[strings.Trim(name, `"`)] = path
		}
	}
	for _, glob := range []string{"../../attest/*/testdata/*.golden", "../../vectors/*/*.checks.txt"} {
		paths, err := filepath.Glob(glob)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", glob, err)
		}
		for _, path := range paths {
			collect(path, shownName)
		}
	}
	paths, err := filepath.Glob("../../vectors/cases/*/expected.json")
	if err != nil || len(paths) < 200 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	for _, path := range paths {
		collect(path, quotedName)
	}
	for name, path := range names {
		if len(findChecks(name)) == 0 {
			t.Errorf("%s, in %s: `blindbox explain` says nothing about it", name, path)
		}
	}
	if len(names) < 140 {
		t.Errorf("%d names, expected 140 or more", len(names))
	}
}
