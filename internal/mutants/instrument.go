package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	module     = "github.com/blindbox/blindbox"
	switchPath = module + "/internal/mutants/spoil"
)

// point is one condition that can be spoiled.
type point struct {
	file, function, text string
	line                 int
	nth                  int  // among those of one text in the function, from 1
	pass                 bool // the value it has when nothing is refused
}

// where names the point in a way that survives edits elsewhere in the file.
func (p point) where() string {
	name := p.file + " " + p.function + ": " + p.text
	if p.nth > 1 {
		name += " #" + strconv.Itoa(p.nth)
	}
	return name
}

// source is the repository with switches in it.
type source struct {
	fset    *token.FileSet
	points  []point
	overlay map[string]string
}

// has reports whether a file lies in one of the packages.
func (s *source) has(file string) bool {
	return slices.ContainsFunc(s.points, func(p point) bool { return filepath.Dir(p.file) == filepath.Dir(file) })
}

// insertion is text that comes before the byte at an offset of a file.
type insertion struct {
	at   int
	text string
}

// instrument writes a copy of every file of the packages with its conditions
// wrapped, and an overlay that makes the compiler use the copies.
func instrument(dir string, packages []string) (*source, error) {
	s := &source{fset: token.NewFileSet(), overlay: make(map[string]string)}
	for _, pkg := range packages {
		files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no Go files in %s", pkg)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			if err := s.rewrite(dir, file); err != nil {
				return nil, err
			}
		}
	}
	if err := s.add(dir, "internal/mutants/spoil/spoil.go", []byte(spoilSource)); err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{"Replace": s.overlay})
	if err != nil {
		return nil, err
	}
	return s, os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600)
}

func (s *source) add(dir, file string, text []byte) error {
	full, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	replacement := filepath.Join(dir, strconv.Itoa(len(s.overlay))+".go")
	s.overlay[full] = replacement
	return os.WriteFile(replacement, text, 0o600)
}

func (s *source) rewrite(dir, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	tree, err := parser.ParseFile(s.fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	w := &wrapper{source: s, file: filepath.ToSlash(filepath.Clean(file))}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			w.function = nameOf(f)
			ast.Inspect(f.Body, w.visit)
		}
	}
	if len(w.inserted) == 0 {
		return nil
	}
	w.insert(tree.Name.End(), "; import spoil__ "+strconv.Quote(switchPath))
	return s.add(dir, file, apply(text, w.inserted))
}

// nameOf returns "Function" or "Type.Method".
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	if id, ok := receiver.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// apply leaves every other byte of the file where it was, with its
// directives and the lines that a failing test names.
func apply(text []byte, inserted []insertion) []byte {
	slices.SortStableFunc(inserted, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
	var out []byte
	done := 0
	for _, i := range inserted {
		out = append(append(out, text[done:i.at]...), i.text...)
		done = i.at
	}
	return append(out, text[done:]...)
}

// wrapper finds the conditions of one function.
type wrapper struct {
	source         *source
	file, function string
	inserted       []insertion
}

func (w *wrapper) insert(at token.Pos, text string) {
	w.inserted = append(w.inserted, insertion{w.source.fset.Position(at).Offset, text})
}

func (w *wrapper) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		if refuses(n.Body.List) || asksForEnd(n.Cond) {
			w.each(n.Cond, token.LOR, false)
		}
	case *ast.ForStmt:
		if n.Cond != nil {
			w.loop(n.Cond)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			w.cases(n)
		}
	case *ast.CallExpr:
		w.call(n)
	}
	return true
}

func (w *wrapper) cases(n *ast.SwitchStmt) {
	for _, stmt := range n.Body.List {
		c := stmt.(*ast.CaseClause)
		if !refuses(c.Body) {
			continue
		}
		for _, cond := range c.List {
			w.each(cond, token.LOR, false)
		}
	}
}

// loop wraps what makes a loop end before its time: the part of its condition that
// asks whether the work is wanted.
func (w *wrapper) loop(cond ast.Expr) {
	if both, ok := cond.(*ast.BinaryExpr); ok && both.Op == token.LAND {
		w.loop(both.X)
		w.loop(both.Y)
	} else if asksForEnd(cond) {
		w.each(cond, token.LAND, true)
	}
}

// asksForEnd reports whether a condition calls a method Err, as a context has it.
func asksForEnd(cond ast.Expr) (asks bool) {
	ast.Inspect(cond, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			f, method := call.Fun.(*ast.SelectorExpr)
			asks = asks || method && f.Sel.Name == "Err"
		}
		return !asks
	})
	return asks
}

// call finds what records a check: the functions judge and pki.Judge, the methods
// judge and check. Their second argument decides.
func (w *wrapper) call(n *ast.CallExpr) {
	const at = 1
	records := false
	switch f := n.Fun.(type) {
	case *ast.Ident:
		records = f.Name == "judge"
	case *ast.SelectorExpr:
		records = f.Sel.Name == "Judge" || f.Sel.Name == "judge" || f.Sel.Name == "check"
	}
	if !records || len(n.Args) != 5 {
		return
	}
	if id, constant := n.Args[at].(*ast.Ident); constant && (id.Name == "true" || id.Name == "false") {
		return
	}
	w.each(n.Args[at], token.LAND, true)
}

// each wraps the operands of a chain of || or &&, since a test of one of them is
// no test of the others.
func (w *wrapper) each(e ast.Expr, op token.Token, pass bool) {
	switch x := e.(type) {
	case *ast.ParenExpr:
		w.each(x.X, op, pass)
		return
	case *ast.BinaryExpr:
		if x.Op == op {
			w.each(x.X, op, pass)
			w.each(x.Y, op, pass)
			return
		}
	}
	var text bytes.Buffer
	if err := format.Node(&text, w.source.fset, e); err != nil {
		return
	}
	w.insert(e.Pos(), "spoil__.Bool("+strconv.Itoa(len(w.source.points))+", bool(")
	w.insert(e.End(), "))")
	p := point{
		file: w.file, function: w.function, nth: 1, pass: pass,
		line: w.source.fset.Position(e.Pos()).Line,
		text: strings.Join(strings.Fields(text.String()), " "),
	}
	for _, o := range w.source.points {
		if o.file == p.file && o.function == p.function && o.text == p.text {
			p.nth++
		}
	}
	w.source.points = append(w.source.points, p)
}

// refuses reports whether statements say no: they return something that is not
// plainly success, or record a failure.
func refuses(body []ast.Stmt) bool {
	found := false
	for _, stmt := range body {
		ast.Inspect(stmt, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ReturnStmt:
				found = found || returnsRefusal(n)
			case *ast.AssignStmt:
				found = found || slices.ContainsFunc(n.Rhs, isError)
			case *ast.CallExpr:
				found = found || callsRefusal(n)
			case *ast.Ident:
				found = found || strings.HasPrefix(n.Name, "Code") && len(n.Name) > 4 || n.Name == "Fail"
			}
			return !found
		})
	}
	return found
}

func returnsRefusal(r *ast.ReturnStmt) bool {
	if len(r.Results) == 0 {
		return false
	}
	last := r.Results[len(r.Results)-1]
	switch x := last.(type) {
	case *ast.Ident:
		return x.Name == "false" || x.Name == "refused" || isError(x)
	case *ast.SelectorExpr:
		return isError(x)
	case *ast.CallExpr:
		return callsRefusal(x)
	case *ast.UnaryExpr:
		return isReason(x.X)
	}
	return isSentence(last)
}

// isError reports whether an expression is an error that was kept, or that stands
// somewhere else.
func isError(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name == "err" || isSentinel(x.Name)
	case *ast.SelectorExpr:
		return x.Sel.Name == "err" || isSentinel(x.Sel.Name)
	}
	return false
}

// isSentinel reports whether a name is that of an error that stands somewhere else.
func isSentinel(name string) bool {
	rest, found := strings.CutPrefix(name, "err")
	if !found {
		rest, found = strings.CutPrefix(name, "Err")
	}
	return found && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z'
}

// isReason reports whether an expression is a struct that says why not.
func isReason(e ast.Expr) bool {
	literal, ok := e.(*ast.CompositeLit)
	if !ok {
		return false
	}
	name, ok := literal.Type.(*ast.Ident)
	return ok && (name.Name == "Refusal" || name.Name == "Spent" || strings.HasSuffix(name.Name, "Error"))
}

// isSentence reports whether an expression begins with several words: the reason, in
// functions that return it as a text. A single word is a name of something.
func isSentence(e ast.Expr) bool {
	for {
		sum, ok := e.(*ast.BinaryExpr)
		if !ok {
			break
		}
		e = sum.X
	}
	text, ok := e.(*ast.BasicLit)
	return ok && text.Kind == token.STRING && strings.Contains(strings.Trim(text.Value, "\"` "), " ")
}

func callsRefusal(c *ast.CallExpr) bool {
	name := ""
	switch f := c.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	switch name {
	case "Errorf", "New", "fail", "Fail", "failf", "refuse", "malformed", "unsupported", "NewFailure", "problem",
		"fault", "twice", "unknown", "expired", "badToken", "badCertificate", "noKeys",
		"BadInput", "tooMany", "tooDeep", "failed", "unknownField", "missing":
		return true
	}
	return false
}

// spoilSource is the package of the switches. It reads its orders once, and
// notes each condition the first time that it is met.
const spoilSource = `// Package spoil switches conditions.
package spoil

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var recording = sync.OnceValue(func() *recorder {
	name := os.Getenv("BLINDBOX_MUTANT_RECORD")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	return &recorder{file: f, seen: make(map[int]bool)}
})

type recorder struct {
	mu   sync.Mutex
	file *os.File
	seen map[int]bool
}

func (r *recorder) note(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.seen[id] {
		r.seen[id] = true
		r.file.WriteString(strconv.Itoa(id) + "\n")
	}
}

var active = sync.OnceValues(func() (int, string) {
	id, how, ok := strings.Cut(os.Getenv("BLINDBOX_MUTANT"), ":")
	if !ok {
		return -1, ""
	}
	n, err := strconv.Atoi(id)
	if err != nil {
		panic(err)
	}
	// Without the check of a size it may be taken from the machine.
	const most = 6 << 30
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
		panic(err)
	}
	return n, how
})

// Bool returns v, or what the orders say instead.
func Bool(id int, v bool) bool {
	if r := recording(); r != nil {
		r.note(id)
	}
	point, how := active()
	if id != point {
		return v
	}
	switch how {
	case "true":
		return true
	case "false":
		return false
	}
	return !v
}
`
