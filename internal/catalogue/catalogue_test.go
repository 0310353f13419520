package catalogue_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
)

var update = flag.Bool("update", false, "rewrite docs/errors from the table")

const (
	root  = "../.."
	pages = root + "/docs/errors"
)

func TestTableIsWellFormed(t *testing.T) {
	seen := map[attest.Code]int{}
	last := 0
	for _, e := range catalogue.All() {
		if e.Number <= last || e.Number < 100 || e.Number > 599 {
			t.Errorf("%s stands after BBX-%d", e.ID(), last)
		}
		last = e.Number
		for name, text := range map[string]string{"title": e.Title, "cause": e.Cause, "not done": e.NotDone, "fix": e.Fix, "example": e.Example} {
			if strings.TrimSpace(text) != text || text == "" {
				t.Errorf("%s: %s is %q", e.ID(), name, text)
			}
		}
		for _, text := range []string{e.Cause, e.NotDone, e.Fix} {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s: no full stop after %q", e.ID(), text)
			}
		}
		if strings.HasSuffix(e.Title, ".") || len(e.Title) > 80 {
			t.Errorf("%s: title %q, expected a clause of at most 80 bytes", e.ID(), e.Title)
		}
		if !strings.Contains(e.Example, e.ID()) && !strings.Contains(e.Example, "SKIP") {
			t.Errorf("%s: the example does not show the number", e.ID())
		}
		if len(e.Codes) == 0 {
			t.Errorf("%s explains no code", e.ID())
		}
		for _, c := range e.Codes {
			if seen[c] != 0 {
				t.Errorf("code %s belongs to BBX-%d and to %s", c, seen[c], e.ID())
			}
			seen[c] = e.Number
		}
	}
}

// declared returns every constant of type attest.Code in the Go files of dir.
func declared(t *testing.T, dir string) map[attest.Code]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[attest.Code]string{}
	fset := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !isCode(spec.Type, f.Name.Name) {
				return true
			}
			for i, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok {
					t.Errorf("%s: %s is not a literal", fset.Position(v.Pos()), spec.Names[i])
					continue
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out[attest.Code(text)] = spec.Names[i].Name
			}
			return true
		})
	}
	return out
}

func isCode(expr ast.Expr, pkg string) bool {
	switch x := expr.(type) {
	case *ast.Ident:
		return pkg == "attest" && x.Name == "Code"
	case *ast.SelectorExpr:
		id, ok := x.X.(*ast.Ident)
		return ok && id.Name == "attest" && x.Sel.Name == "Code"
	}
	return false
}

func TestEveryCodeHasAnEntry(t *testing.T) {
	known := map[attest.Code]bool{}
	for _, dir := range []string{"attest", "attest/snp", "attest/tdx", "attest/tpm", "attest/azure", "attest/nitro", "attest/nvgpu", "attest/sim", "attest/internal/dcap", "attest/internal/pki", "endorse", "endorse/fetch", "appraise", "atls", "client", "internal/catalogue", "receipt", "box/audit", "box/seal"} {
		for code, name := range declared(t, dir) {
			known[code] = true
			if _, ok := catalogue.ByCode(code); !ok {
				t.Errorf("%s.%s (%s) has no entry", dir, name, code)
			}
		}
	}
	if len(known) < 20 {
		t.Fatalf("found only %d codes: the search is wrong", len(known))
	}
	for _, e := range catalogue.All() {
		for _, code := range e.Codes {
			if !known[code] {
				t.Errorf("%s explains %s, which nobody gives", e.ID(), code)
			}
		}
	}
}

func TestPagesEqualTheTable(t *testing.T) {
	want := map[string]string{"README.md": catalogue.Index()}
	for _, e := range catalogue.All() {
		want[e.ID()+".md"] = e.Markdown()
	}
	if *update {
		write(t, want)
	}
	found, err := os.ReadDir(pages)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if _, ok := want[f.Name()]; !ok {
			t.Errorf("docs/errors/%s: no entry of that number", f.Name())
		}
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(pages, name))
		if err != nil || string(got) != text {
			t.Errorf("docs/errors/%s is not what the table says: run go test ./internal/catalogue -update", name)
		}
	}
}

func write(t *testing.T, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	old, _ := filepath.Glob(filepath.Join(pages, "BBX-*.md"))
	for _, f := range old {
		if _, ok := files[filepath.Base(f)]; !ok {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(pages, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	for _, name := range []string{"BBX-203", "bbx-203", "203", "measurement", " BBX-203 "} {
		if e, ok := catalogue.Find(name); !ok || e.Number != 203 {
			t.Errorf("%q finds %v, %v", name, e.Number, ok)
		}
	}
	for _, name := range []string{"", "BBX-", "BBX-999", "-203", "nonsense"} {
		if e, ok := catalogue.Find(name); ok {
			t.Errorf("%q finds %s", name, e.ID())
		}
	}
}

func TestStageIsTheFirstDigit(t *testing.T) {
	for n, want := range map[int]catalogue.Stage{101: catalogue.Usage, 203: catalogue.Refused, 301: catalogue.Unavailable, 303: catalogue.Partial, 401: catalogue.Usage, 502: catalogue.Usage} {
		e, ok := catalogue.ByNumber(n)
		if !ok || e.Stage() != want {
			t.Errorf("BBX-%d: stage %d, %v, expected %d", n, e.Stage(), ok, want)
		}
	}
}

func TestTextFitsATerminal(t *testing.T) {
	for _, e := range catalogue.All() {
		for _, line := range strings.Split(e.Text(), "\n") {
			if len(line) > 100 {
				t.Errorf("%s: a line of %d bytes: %q", e.ID(), len(line), line)
			}
		}
	}
}

// TestBoxAnswersAreKnown holds the numbers that the box writes into its answers
// against the table. The box does not import it.
func TestBoxAnswersAreKnown(t *testing.T) {
	number := regexp.MustCompile(`BBX-(\d{3})`)
	var unknown []string
	for _, dir := range []string{"box", "box/ingress", "box/process", "atls", "model", "client", "internal/connect", "cmd/blindbox", "cmd/boxd"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range number.FindAllStringSubmatch(string(text), -1) {
				n, _ := strconv.Atoi(m[1])
				if _, ok := catalogue.ByNumber(n); !ok && !slices.Contains(unknown, m[0]) && !strings.HasSuffix(file, "_test.go") {
					unknown = append(unknown, m[0])
					t.Errorf("%s writes %s, which has no entry", file, m[0])
				}
			}
		}
	}
}
