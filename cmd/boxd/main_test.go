package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/launch"
	"github.com/blindbox/blindbox/policy"
)

var update = flag.Bool("update", false, "rewrite deps.txt")

// TestLinked: deps.txt lists every package in the program that runs in a box.
// A change to it is a change to what relying parties trust.
func TestLinked(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	got := strings.Fields(string(out))
	slices.Sort(got)
	if *update {
		if err := os.WriteFile("deps.txt", []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(text))
	var diff []string
	for _, p := range got {
		if !slices.Contains(want, p) {
			diff = append(diff, "+ "+p)
		}
	}
	for _, p := range want {
		if !slices.Contains(got, p) {
			diff = append(diff, "- "+p)
		}
	}
	if len(diff) > 0 {
		t.Errorf("what is linked into the box has changed:\n%s\nif that is meant: go test ./cmd/boxd -run TestLinked -update, and say why in the commit", strings.Join(diff, "\n"))
	}
	if !slices.IsSorted(want) {
		t.Error("deps.txt is not sorted")
	}
}

// build builds the program as it goes into an image.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "boxd")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

const goodPolicy = "name: a\nmodels: [{name: tumour, builtin: tumour}]\n"

func TestRefusals(t *testing.T) {
	bin, dir := build(t), t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("good.yaml", goodPolicy)
	bad := write("bad.yaml", "name: a\nmodels: [{name: m}]\negress: {allow: all}\n")
	twice := write("twice.yaml", "name: ''\nmodels: [{name: m}]\n")
	long := write("long.yaml", goodPolicy+"#"+strings.Repeat("x", 64<<10))
	latin := write("latin.yaml", "name: a\nmodels: [{name: tumour, builtin: tumour}] # \xe9\n")
	bom, wide := write("bom.yaml", "\ufeff"+goodPolicy), write("wide.yaml", "n\x00a\x00m\x00e\x00:\x00a\x00")
	huge, pipe := filepath.Join(dir, "huge.yaml"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(huge, nil, 0o600), os.Truncate(huge, 1<<30), exec.Command("mkfifo", pipe).Run()); err != nil {
		t.Fatal(err)
	}
	irregular := func(name string) string {
		return "BBX-105 file: a file could not be read or written\n  seen       " + name + " is not a regular file: invalid argument\n  no box was started.\n"
	}
	cases := []struct {
		name string
		args []string
		exit int
		want string
	}{
		{"no arguments", nil, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen       no --policy FILE\n  no box was started.\n"},
		{"unknown flag", []string{"--simulate"}, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen       flag provided but not defined: -simulate\n  no box was started.\n"},
		{"flag without value", []string{"--policy"}, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen       flag needs an argument: -policy\n  no box was started.\n"},
		{"argument", []string{"--policy", good, "run"}, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen       argument \"run\", expected none\n  no box was started.\n"},
		{"help", []string{"--help"}, 0, "usage: boxd --policy FILE [--listen ADDRESS] [--platform KINDS]\n       boxd --detect\n\nboxd runs inside a box and needs its hardware; elsewhere there is `blindbox dev`.\n" +
			"  -audit folder\n    \ta folder of the host for the audit log, where the policy gives it to the host; the log of the runs before goes on\n" +
			"  -detect\n    \tprint what evidence this machine gives, and why not, and end; the exit code is 3 if it gives none\n" +
			"  -endorsements-from URL\n    \tstaple what the vendors sign: \"vendors\", or the URL of a mirror; fetched in the background (default: only what the host hands out)\n" +
			"  -gpu-helper command\n    \tthe command that prints the evidence of NVIDIA GPUs\n" +
			"  -images folder\n    \tthe folder of app.image, for oci:PATH and, as sha256-DIGITS, for images of registries (default: that of the policy)\n" +
			"  -listen address\n    \tthe TCP address to listen on (default \":8443\")\n" +
			"  -logs folder\n    \ta folder of the host for sealed logs; the policy says whether there are any\n" +
			"  -nvswitch-helper command\n    \tthe command that prints the evidence of NVSwitches\n" +
			"  -platform kinds\n    \tthe kinds of evidence to use, with commas, the processor's first (default: the only one there is)\n" +
			"  -policy file\n    \tthe box's policy, a file (required)\n" +
			"  -run folder\n    \ta folder in memory for the app's files; what is in it is deleted (default \"/run/blindbox\")\n" +
			"  -runsc file\n    \tgVisor's runsc, a file, for isolation: gvisor (default: that of PATH)\n" +
			"  -state folder\n    \ta folder in memory for the keys of models in --store; it stays when boxd ends (default \"/run/blindbox-store\")\n" +
			"  -store folder\n    \ta folder of the host for sealed models of callers; the policy's store says whether it has a disk\n" +
			"  -verifier program\n    \tthe program that judges the evidence of other boxes, if the policy has such callers (default: boxverify, beside boxd)\n"},
		{"no platform", []string{"--policy", good, "--platform", ","}, 1, "BBX-101 usage: the command line cannot be used as it is\n  seen       invalid value \",\" for flag -platform: nothing named\n  no box was started.\n"},
		{"no such file", []string{"--policy", dir + "/none"}, 1, "BBX-105 file: a file could not be read or written\n  seen       open " + dir + "/none: no such file or directory\n  no box was started.\n"},
		{"a directory", []string{"--policy", dir}, 1, irregular(dir)},
		{"a pipe that nobody writes to", []string{"--policy", pipe}, 1, irregular(pipe)},
		{"below a file", []string{"--policy", good + "/box.yaml"}, 1, "BBX-105 file: a file could not be read or written\n  seen       open " + good + "/box.yaml: not a directory\n  no box was started.\n"},
		{"a gigabyte", []string{"--policy", huge}, 1, "BBX-104 policy: the policy file is not valid\n  seen       " + huge + ":1:1: a document of 65537 bytes, limit 65536\n  no box was started.\n"},
		{"not UTF-8", []string{"--policy", latin}, 1, "BBX-104 policy: the policy file is not valid\n  seen       " + latin + ":2:45: not UTF-8\n  no box was started.\n"},
		{"byte order mark", []string{"--policy", bom}, 1, "BBX-104 policy: the policy file is not valid\n  seen       " + bom + ":1:1: the character U+FEFF, which does not show\n  no box was started.\n"},
		{"UTF-16", []string{"--policy", wide}, 1, "BBX-104 policy: the policy file is not valid\n  seen       " + wide + ":1:2: the character U+0000, which does not show\n  no box was started.\n"},
		{"no list", []string{"--policy", bad}, 1, "BBX-104 policy: the policy file is not valid\n  seen       " + bad + `:3:17: egress.allow: seen "all", expected a list` + "\n  no box was started.\n"},
		{"two errors", []string{"--policy", twice}, 1, "BBX-104 policy: the policy file is not valid\n  seen       " + twice + ":1:7: name: seen \"\", expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit\n" +
			"             " + twice + ":2:10: models[0]: seen neither builtin nor path, expected one of the two\n  no box was started.\n"},
		{"too long", []string{"--policy", long}, 1, "BBX-104 policy: the policy file is not valid\n  seen       " + long + ":1:1: a document of 65537 bytes, limit 65536\n  no box was started.\n"},
		{"endless", []string{"--policy", "/dev/zero"}, 1, irregular("/dev/zero")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			exit, text := execute(t, bin, c.args...)
			if exit != c.exit || text != c.want {
				t.Errorf("exit code %d, expected %d\ngot\n%s\nexpected\n%s", exit, c.exit, text, c.want)
			}
		})
	}
	t.Run("detect", func(t *testing.T) {
		want := 0
		if _, err := open(platform{}); err != nil {
			want = 3
		}
		exit, text := execute(t, bin, "--detect")
		if runtime.GOOS == "linux" && (exit != want || (want == 3) != strings.Contains(text, "BBX-301 evidence: ") || strings.Count(text, "\n") < 9 || !strings.Contains(text, "sev-snp ")) {
			t.Errorf("exit code %d\n%s", exit, text)
		}
	})
	for _, name := range []string{"sim-sev-snp", "composite", "SEV-SNP"} {
		t.Run("platform "+name, func(t *testing.T) {
			exit, text := execute(t, bin, "--policy", good, "--platform", "tpm,"+name)
			if exit != 1 && runtime.GOOS == "linux" || !strings.Contains(text, "no box was started") {
				t.Errorf("exit code %d\n%s", exit, text)
			}
		})
	}
	t.Run("no hardware", func(t *testing.T) {
		if _, err := open(platform{}); err == nil {
			t.Skip("this machine gives evidence")
		}
		exit, text := execute(t, bin, "--policy", good, "--listen", "127.0.0.1:0")
		if exit != 3 || !strings.HasPrefix(text, "BBX-301 evidence: ") || !strings.HasSuffix(text, "\n  no box was started.\n") {
			t.Errorf("exit code %d, expected 3\n%s", exit, text)
		}
	})
}

func execute(t *testing.T, bin string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("wrote to standard output: %s", out.String())
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// TestPages: every number that is printed has a page that says what to do.
func TestPages(t *testing.T) {
	for _, f := range []*failure{usage("x"), explain(errors.New("x")), {number: 104}, {number: 105}, {number: 107}, explain(launch.ErrOther), {number: 301}} {
		if _, err := os.Stat(fmt.Sprintf("../../docs/errors/BBX-%d.md", f.number)); err != nil {
			t.Error(err)
		}
	}
}

// signer is hardware that signs whatever it is asked, and whose box was launched with
// the policy in a file.
type signer struct {
	err    error
	policy string
}

func (signer) Kind() attest.Kind { return attest.SNP }

func (s signer) Attest(_ context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if s.err != nil {
		return attest.Evidence{}, nil, s.err
	}
	doc, err := os.ReadFile(s.policy)
	if err != nil {
		return attest.Evidence{}, nil, err
	}
	report, asked, digest := make([]byte, 1184), b.Bytes(), sha256.Sum256(doc)
	copy(report[80:], asked[:])
	copy(report[192:], digest[:])
	return attest.Evidence{Kind: attest.SNP, Data: report}, nil, nil
}

// console is a standard error that tells when a word was written to it.
type console struct {
	mu   sync.Mutex
	text strings.Builder
	word string
	seen func()
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	if c.seen != nil && strings.Contains(c.text.String(), c.word) {
		c.seen()
		c.seen = nil
	}
	return len(p), nil
}

// TestServe runs the program on hardware of the test: it serves until it is
// told to end, and says why it does not.
func TestServe(t *testing.T) {
	good := filepath.Join(t.TempDir(), "box.yaml")
	noApp, changed := filepath.Join(t.TempDir(), "box.yaml"), filepath.Join(t.TempDir(), "box.yaml")
	windows := filepath.Join(t.TempDir(), "box.yaml")
	for file, text := range map[string]string{good: goodPolicy, windows: strings.ReplaceAll(goodPolicy, "\n", "\r\n"), changed: goodPolicy + "#", noApp: "name: a\napp: {command: [/nowhere/app], listen: \"unix:/nowhere.sock\"}\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name, policy, listen string
		attester             signer
		exit                 int
		want                 []string
	}{
		{"serves and ends", good, "127.0.0.1:0", signer{policy: good}, 0, []string{"boxd: starting: callers: nobody", "boxd: serving: 127.0.0.1:", "boxd: stopping\nboxd: stopped\n"}},
		{"line ends of Windows", windows, "127.0.0.1:0", signer{policy: windows}, 0, []string{"boxd: serving: 127.0.0.1:"}},
		{"line ends changed after the launch", windows, "127.0.0.1:0", signer{policy: good}, 1, []string{"BBX-119 "}},
		{"one byte more than at the launch", changed, "127.0.0.1:0", signer{policy: good}, 1, []string{"BBX-119 box: the box was not launched with the policy that it was given\n  seen       box: launch: HOST_DATA of sev-snp is ", ", expected ", "\n  no box was started.\n  fix        launch with the SHA-256 of the file that boxd gets"}},
		{"no app", noApp, "127.0.0.1:0", signer{policy: noApp}, 1, []string{"BBX-108 box: the box could not be started", "/nowhere/app", "no box was started."}},
		{"port taken", good, taken.Addr().String(), signer{policy: good}, 1, []string{"BBX-107 listen: cannot listen there", "address already in use"}},
		{"hardware fails", good, "127.0.0.1:0", signer{err: errors.New("the firmware says no")}, 3, []string{"BBX-301 evidence: ", "the firmware says no", "no box was started."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			out := &console{word: "serving", seen: stop}
			exit := run(ctx, []string{"--policy", c.policy, "--listen", c.listen}, out, machine{open: func(platform) (attest.Attester, error) { return c.attester, nil }, reserve: func() error { return nil }, root: true})
			if log.Writer() != io.Discard {
				t.Error("what the standard library logs is shown")
			}
			if exit != c.exit {
				t.Errorf("exit code %d, expected %d", exit, c.exit)
			}
			for _, want := range c.want {
				if !strings.Contains(out.text.String(), want) {
					t.Errorf("no %q in\n%s", want, out.text.String())
				}
			}
		})
	}
}

// TestAppNeedsRoot: the app must not run as boxd does, and only root can give
// it another account. Models need none.
func TestAppNeedsRoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "box.yaml")
	if err := os.WriteFile(file, []byte("name: a\napp: {command: [/nowhere/app], listen: \"unix:/nowhere.sock\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	asked := func(platform) (attest.Attester, error) {
		t.Error("the hardware was asked")
		return nil, errors.New("no")
	}
	exit := run(t.Context(), []string{"--policy", file, "--listen", "127.0.0.1:0"}, &out, machine{open: asked})
	if exit != 1 || !strings.Contains(out.String(), "BBX-108") || !strings.Contains(out.String(), "expected root") {
		t.Errorf("exit code %d\n%s", exit, out.String())
	}
	p, err := policy.Parse([]byte(goodPolicy))
	if err != nil {
		t.Fatal(err)
	}
	if account, err := (machine{reserve: func() error { return errors.New("no") }}).appAccount(p); account != nil || err != nil {
		t.Errorf("models: account %v, %v", account, err)
	}
}

// TestAppWithoutEvidence: no app where anybody can ask the hardware.
func TestAppWithoutEvidence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "box.yaml")
	if err := os.WriteFile(file, []byte("name: a\napp: {command: [/nowhere/app], listen: \"unix:/nowhere.sock\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	m := machine{
		open: func(platform) (attest.Attester, error) {
			t.Error("the hardware was asked")
			return nil, errors.New("no")
		},
		reserve: func() error { return fmt.Errorf("%w: everybody can open it", attest.ErrUnavailable) },
		root:    true,
	}
	if exit := run(t.Context(), []string{"--policy", file}, &out, m); exit != 3 || !strings.Contains(out.String(), "everybody can open it") {
		t.Errorf("exit code %d\n%s", exit, out.String())
	}
}

// binder is hardware that wants to be told the policy.
type binder struct {
	attest.Attester
	bound attest.Digest
	err   error
}

func (b *binder) BindPolicy(d attest.Digest) error { b.bound = d; return b.err }

// TestBindsPolicy: hardware that can be told the policy is told it, and a box
// whose policy could not be bound does not start.
func TestBindsPolicy(t *testing.T) {
	const doc = "name: test\nmodels:\n  - {name: tumour, builtin: tumour}\ncallers:\n  - {name: all, anyone: true, may: [query]}\n"
	p, err := policy.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	b := &binder{Attester: machineOf(attest.TPM)}
	if err := bindPolicy(b, p); err != nil || b.bound != attest.Digest(p.Digest()) {
		t.Errorf("bound %s: %v", b.bound, err)
	}
	file := filepath.Join(t.TempDir(), "box.yaml")
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	b.err = fmt.Errorf("device: %w: somebody was there before", attest.ErrUnavailable)
	var out bytes.Buffer
	exit := run(t.Context(), []string{"--policy", file, "--listen", "127.0.0.1:0"}, &out, machine{open: func(platform) (attest.Attester, error) { return b, nil }, root: true})
	if exit == 0 || !strings.Contains(out.String(), "somebody was there before") {
		t.Errorf("exit %d: %s", exit, out.String())
	}
}

// TestSimulated: boxd never means a simulation, whatever hardware the policy names.
func TestSimulated(t *testing.T) {
	for more, want := range map[string]string{
		"":                       "this is sim-sev-snp, which is simulated, expected real hardware",
		"platforms: [sev-snp]\n": "this is sim-sev-snp, and the policy has platforms sev-snp",
	} {
		file := filepath.Join(t.TempDir(), "box.yaml")
		if err := os.WriteFile(file, []byte(goodPolicy+more), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		m := machine{open: func(platform) (attest.Attester, error) { return machineOf(attest.SimSNP), nil }, root: true}
		if exit := run(t.Context(), []string{"--policy", file, "--listen", "127.0.0.1:0"}, &out, m); exit != 1 || !strings.Contains(out.String(), want) {
			t.Errorf("%q: exit code %d\n%s", more, exit, out.String())
		}
	}
}
