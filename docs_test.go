package blindbox_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/policy"
)

// The documents whose console sessions are run, each in one shell of its own
// and a directory of its own, with the binary on the PATH.
var sessions = []string{
	"README.md", "docs/tour.md", "docs/learn.md", "docs/models.md", "docs/onnx.md", "vectors/README.md",
	"docs/hardware/azure.md", "docs/hardware/nitro.md", "docs/hardware/nvidia.md", "docs/hardware/sev-snp.md",
	"docs/hardware/sgx.md", "docs/hardware/tdx.md", "docs/hardware/vtpm.md",
	"examples/notebook/README.md", "examples/ocr/README.md", "examples/search/README.md", "examples/speech/README.md", "examples/triage/README.md",
	"examples/voice/README.md", "examples/xray/README.md",
}

// What a page needs that is fetched, by the variable that names it; see the Makefile.
var fetched = map[string][]string{
	"examples/ocr/README.md":      {"BLINDBOX_MODELS"},
	"examples/voice/README.md":    {"BLINDBOX_MODELS"},
	"examples/speech/README.md":   {"BLINDBOX_MODELS", "BLINDBOX_PYTHON"},
	"examples/search/README.md":   {"BLINDBOX_MODELS", "BLINDBOX_TOKENIZERS", "BLINDBOX_PYTHON"},
	"examples/notebook/README.md": {"BLINDBOX_MODELS", "BLINDBOX_TOKENIZERS", "BLINDBOX_PYTHON"},
}

// step is one `$ command` of a ```console block and the output shown for it.
type step struct {
	line    int
	command string
	want    []string
}

// TestDocumentedSessions runs every console block and compares what it prints
// with what the page shows. In the expected text "..." stands for anything: in
// a line for some characters, alone on a line for some lines.
func TestDocumentedSessions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the documented sessions are for a Unix shell")
	}
	for _, tool := range []string{"bash", "python3", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the documented sessions use %s: %v", tool, err)
		}
	}
	bin := buildTool(t)
	for _, page := range sessions {
		t.Run(page, func(t *testing.T) {
			for _, name := range fetched[page] {
				if os.Getenv(name) == "" {
					t.Skipf("%s is not set: make test fetches what it names", name)
				}
			}
			awaitPorts(t, "8000", "8443", "8642")
			steps := readSteps(t, page)
			if len(steps) == 0 {
				t.Fatalf("%s has no console session", page)
			}
			path := bin
			if python := os.Getenv("BLINDBOX_PYTHON"); slices.Contains(fetched[page], "BLINDBOX_PYTHON") {
				path += ":" + filepath.Dir(python)
			}
			sh := startShell(t, path)
			if strings.HasPrefix(page, "examples/") {
				copyExample(t, filepath.Dir(page), sh.dir)
			}
			buildPrograms(t, page, sh.dir)
			for _, s := range steps {
				got := sh.run(t, s.command)
				if !matches(s.want, got) {
					t.Fatalf("%s:%d: $ %s\n--- shown on the page\n%s\n--- printed\n%s", page, s.line, s.command, strings.Join(s.want, "\n"), got)
				}
			}
		})
	}
}

// awaitPorts makes sure that the default ports, which the pages use, are free.
func awaitPorts(t *testing.T, ports ...string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for _, port := range ports {
		for {
			l, err := net.Listen("tcp", "127.0.0.1:"+port)
			if err == nil {
				l.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Skipf("the documented sessions use port %s, which something on this machine holds: %v", port, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func buildTool(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/blindbox")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// readSteps collects the console blocks of a page. A line that ends in a
// backslash goes on in the next one, and a here-document to its END.
func readSteps(t *testing.T, page string) []step {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	inBlock, continued, here := false, false, false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case !inBlock:
			inBlock = line == "```console"
		case line == "```":
			inBlock, continued, here = false, false, false
		case continued || here:
			last := &steps[len(steps)-1]
			last.command += "\n" + line
			continued, here = strings.HasSuffix(line, "\\"), here && line != "END"
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, step{line: i + 1, command: line[2:]})
			continued, here = strings.HasSuffix(line, "\\"), strings.HasSuffix(line, "<<END")
		case len(steps) > 0:
			last := &steps[len(steps)-1]
			last.want = append(last.want, line)
		}
	}
	return steps
}

// shell is one bash that runs a page's commands in turn.
type shell struct {
	dir string
	in  io.Writer
	out *bufio.Reader
	n   int
}

func startShell(t *testing.T, bin string) *shell {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "BLINDBOX_HOME=" + cmd.Dir + "/home", "BLINDBOX_REPO=" + root, "LC_ALL=C"}
	for _, name := range []string{"BLINDBOX_MODELS", "BLINDBOX_TOKENIZERS"} {
		cmd.Env = append(cmd.Env, name+"="+os.Getenv(name))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What the page left in the background ends with its shell.
		fmt.Fprintln(in, "kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; exit")
		_ = in.Close()
		_ = cmd.Wait()
		cancel()
	})
	return &shell{dir: cmd.Dir, in: in, out: bufio.NewReader(out)}
}

func (s *shell) run(t *testing.T, command string) string {
	t.Helper()
	s.n++
	mark := fmt.Sprintf("--end-of-step-%d--", s.n)
	fmt.Fprintf(s.in, "%s\necho; echo %s\n", command, mark)
	var got bytes.Buffer
	for {
		line, err := s.out.ReadString('\n')
		if strings.TrimSpace(line) == mark {
			return strings.TrimSuffix(got.String(), "\n")
		}
		got.WriteString(line)
		if err != nil {
			t.Fatalf("$ %s\nthe shell ended: %v\n%s", command, err, got.String())
		}
	}
}

// patience is what a tool says on a machine that is slow at the moment.
var patience = regexp.MustCompile(`(?m)^waiting for .*; Ctrl-C gives up\n`)

func matches(want []string, got string) bool {
	got = patience.ReplaceAllString(got, "")
	var pattern strings.Builder
	pattern.WriteString(`(?s)\A`)
	for _, line := range want {
		if strings.TrimSpace(line) == "..." {
			pattern.WriteString(`(?:.*\n)?`)
			continue
		}
		quoted := regexp.QuoteMeta(strings.TrimRight(line, " "))
		pattern.WriteString(strings.ReplaceAll(quoted, `\.\.\.`, `[^\n]*`) + `[ ]*\n`)
	}
	pattern.WriteString(`\s*\z`)
	return regexp.MustCompile(pattern.String()).MatchString(strings.TrimRight(got, "\n") + "\n")
}

var goProgram = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")

// copyExample makes the copy of an example's folder in which its page is read, with its
// program, if it has one.
func copyExample(t *testing.T, folder, dir string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "main.go")); err != nil {
		return
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), "./"+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", folder, err, out)
	}
}

// buildPrograms compiles a page's complete Go programs against this tree; the
// sessions run them as ./program.
func buildPrograms(t *testing.T, page, dir string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	programs := goProgram.FindAllSubmatch(text, -1)
	if page == "README.md" && len(programs) == 0 {
		t.Error("README.md shows no Go program")
	}
	for _, m := range programs {
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, m[1], 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), file).CombinedOutput(); err != nil {
			t.Errorf("%s: a Go program does not compile: %v\n%s", page, err, out)
		}
	}
}

// TestPages: a page that README.md does not link is found by nobody, and what a
// page shows as a session is run.
func TestPages(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	examples, err := filepath.Glob("examples/*/README.md")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, page := range append(pages, examples...) {
		if strings.HasPrefix(page, "docs/") && !bytes.Contains(readme, []byte("]("+page+")")) {
			t.Errorf("README.md has no link to %s", page)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\n```console\n")) && !slices.Contains(sessions, page) {
			t.Errorf("%s shows a session that no test runs", page)
		}
	}
}

var (
	referenceSection = regexp.MustCompile("(?m)^### (?:`([^`]+)`|The document)$")
	referenceRow     = regexp.MustCompile("^\\| `([a-z_]+)`")
)

// TestEnforcement: each section of box.yaml, and each limit, is on the page that
// says what makes it true. The reference is generated, so that it has all of them.
func TestEnforcement(t *testing.T) {
	text, err := os.ReadFile("docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/enforcement.md")
	if err != nil {
		t.Fatal(err)
	}
	_, reference, _ := strings.Cut(string(text), "<!-- reference:")
	passive := []string{"version", "name", "app", "limits", "command", "env", "dir", "listen"} // say what runs, and restrict nothing
	keys, section := 0, "none"
	for line := range strings.Lines(reference) {
		if m := referenceSection.FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		m := referenceRow.FindStringSubmatch(line)
		if m == nil || !slices.Contains([]string{"", "app", "callers[]", "egress", "limits"}, section) || slices.Contains(passive, m[1]) {
			continue
		}
		keys++
		if word := regexp.MustCompile("`(?:[a-z]+\\.)?" + m[1] + "(?:\\[\\]|`|\\.)"); !word.Match(page) {
			t.Errorf("docs/enforcement.md does not say what makes %s of %q true", m[1], section)
		}
	}
	if keys < 30 {
		t.Errorf("%d keys in the reference", keys)
	}
}

var shownCode = regexp.MustCompile("(?s)[Ii]n\\s`([^`]+\\.go)`:\n\n```go\n(.*?)```")

// TestShownCode: what docs/onnx.md shows of the engine's files stands in them.
func TestShownCode(t *testing.T) {
	page, err := os.ReadFile("docs/onnx.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := shownCode.FindAllSubmatch(page, -1)
	if len(shown) == 0 || len(shown) != bytes.Count(page, []byte("```go\n")) {
		t.Errorf("%d of %d pieces of code name their file", len(shown), bytes.Count(page, []byte("```go\n")))
	}
	space := regexp.MustCompile(`[ \t]+`)
	for _, m := range shown {
		file, err := os.ReadFile(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		text := space.ReplaceAllString(string(file), " ")
		for _, piece := range strings.Split(space.ReplaceAllString(string(m[2]), " "), "\n") {
			if !strings.Contains(text, strings.TrimSpace(piece)) {
				t.Errorf("%s has no line %q, which the page shows", m[1], piece)
			}
		}
	}
}

// TestLinks: every relative link in the documents leads somewhere.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", "examples/*/*.md", "vectors/*.md", "vectors/*/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	goCode := regexp.MustCompile("(?s)```go\n.*?```") // x[i](y) is no link
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(goCode.ReplaceAll(text, nil), -1) {
			target, _, _ := strings.Cut(string(m[1]), "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), target)); err != nil {
				t.Errorf("%s links to %s: %v", page, target, err)
			}
		}
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestDocumentedFiles parses every trust file that a page shows, and the
// policies of the pages about these (docs/policy.md has a test of its own).
func TestDocumentedFiles(t *testing.T) {
	pages, err := filepath.Glob("docs/hardware/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages of hardware, %v", len(pages), err)
	}
	for _, page := range []string{"docs/compose.md", "docs/operators.md"} {
		blocks := yamlBlocks(t, page)
		for _, block := range blocks {
			if _, err := policy.Parse(block); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, block)
			}
		}
		if len(blocks) == 0 {
			t.Errorf("%s shows no policy", page)
		}
	}
	for _, page := range append(pages, "docs/files.md") {
		trusts, policies := 0, 0
		for _, block := range yamlBlocks(t, page) {
			if page != "docs/files.md" || bytes.HasPrefix(block, []byte("version:")) {
				trusts++
				_, err = appraise.ParseTrust(block)
			} else {
				policies++
				_, err = policy.Parse(block)
			}
			if err != nil {
				t.Errorf("%s: %v in\n%s", page, err, block)
			}
		}
		if trusts == 0 || (page == "docs/files.md" && policies == 0) {
			t.Errorf("%s: %d trust files and %d policies", page, trusts, policies)
		}
	}
}

func yamlBlocks(t *testing.T, page string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	for _, m := range yamlBlock.FindAllSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// The sections that a page about hardware has to have, in this order; others may
// stand between them.
var outline = []string{"What is signed", "What is measured", "Who endorses", "What it does not give", "How to get Reference Values"}

// TestHardwarePages: one outline for all kinds, and nothing shown as a session
// that no test runs.
func TestHardwarePages(t *testing.T) {
	pages, err := filepath.Glob("docs/hardware/*.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile(`(?m)^## (.+)$`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("```console")) && !slices.Contains(sessions, page) {
			t.Errorf("%s shows a session that no test runs", page)
		}
		if filepath.Base(page) == "simulation.md" {
			continue // no hardware
		}
		next := 0
		for _, m := range heading.FindAllSubmatch(text, -1) {
			if next < len(outline) && string(m[1]) == outline[next] {
				next++
			}
		}
		if next != len(outline) {
			t.Errorf("%s: no section %q where it belongs", page, outline[next])
		}
	}
}
