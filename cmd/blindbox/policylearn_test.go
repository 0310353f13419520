package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/policy"
)

const workloadVariable = "BLINDBOX_TEST_WORKLOAD"

// together is what several write at once.
type together struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *together) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *together) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// workload is a command that tests an app: it asks for each path of a list, and prints the answers.
func workload() {
	for _, path := range strings.Split(os.Getenv(workloadVariable), " ") {
		resp, err := http.Get(os.Getenv("BLINDBOX_URL") + path)
		if err != nil {
			fmt.Println(path, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(path, resp.StatusCode, string(body))
	}
}

// learned runs policy learn over a policy with that workload, and returns the file
// that was learned, the document about it and what the workload saw.
func learned(t *testing.T, file, paths string, more learnOptions) (out string, document map[string]any, saw string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv(workloadVariable, paths)
	more.out, more.listen, more.local = filepath.Join(home, "learned.yaml"), "127.0.0.1:0", "127.0.0.1:0"
	if more.many == 0 {
		more.many = 3
	}
	var stdout bytes.Buffer
	var stderr together
	s := &session{
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, format: "json", now: time.Now,
		env: func(name string) string { return map[string]string{"BLINDBOX_HOME": home}[name] },
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := s.policyLearn(ctx, file, more, []string{"workload"}); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &document); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	return more.out, document, stderr.String()
}

// destination is a server that the app's connections come to, whatever they are for.
func destination(t *testing.T) func(*box.Containers) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "outside") })}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return func(c *box.Containers) {
		c.Resolver = everyName{}
		c.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", ln.Addr().String())
		}
	}
}

// everyName resolves every name to one public address.
type everyName struct{}

func (everyName) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// simulatedClient starts a box under a policy, and returns what asks it for a path.
func simulatedClient(t *testing.T, file string, reach func(*box.Containers)) (get func(path string) string) {
	t.Helper()
	s := &session{stderr: io.Discard, now: time.Now}
	p, err := s.readPolicy(file)
	if err != nil {
		t.Fatal(err)
	}
	container, remove, err := s.contain(p, file, os.Geteuid())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	if container != nil {
		reach(&container.Containers)
	}
	root, err := sim.NewRoot(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d, err := startBox(t.Context(), root, p, ln, surroundings{output: io.Discard, container: container})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	trust, err := appraise.ParseTrust(d.trustFile())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(trust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(path string) string {
		resp, err := c.HTTP().Get("https://" + d.addr + path)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return fmt.Sprint(resp.StatusCode, " ", string(body))
	}
}

// TestLearnImage: an app connects, writes and answers; under the policy that was
// learned it does all of that again, and nothing else.
func TestLearnImage(t *testing.T) {
	file := imagePolicy(t, "# about files\nfiles: {writable: [{path: /data, size: 1MiB}]}\n")
	const work = "/here /here?secret=canary /talk/1 /talk/2 /talk/3 /fill?with=/tmp/big /fill?with=/data/big " +
		"/direct?with=http://api.example/ /dial?with=tcp+10.1.2.3:5432 /dial?with=udp+9.9.9.9:9999 /lookup?with=only.example"
	reach := destination(t)
	out, document, saw := learned(t, file, work, learnOptions{reach: reach})
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%v\n%s", text, document["notes"], saw)
	if strings.Contains(string(text), "canary") || strings.Contains(string(text), "secret") {
		t.Error("a query was recorded")
	}
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Egress.Allow) != 2 || p.Egress.Allow[0].String() != "api.example:80" || p.Egress.Allow[1].String() != "10.1.2.3:5432" || !p.Egress.Allow[1].Private {
		t.Errorf("egress %+v", p.Egress.Allow)
	}
	if p.Files.Tmp != 8<<20 || len(p.Files.Writable) != 1 || p.Files.Writable[0].Path != "/data" || p.Files.Writable[0].Size != 4<<20 {
		t.Errorf("files %+v", p.Files)
	}
	if got := strings.Join(p.Callers[0].Paths, " "); got != "/here /talk/* /fill /direct /dial /lookup" {
		t.Errorf("paths %s", got)
	}
	if !strings.Contains(fmt.Sprint(document["notes"]), "udp to 9.9.9.9 port 9999") || !strings.Contains(fmt.Sprint(document["notes"]), "looked up only.example") {
		t.Errorf("notes %v", document["notes"])
	}
	again(t, file, text, reach)
}

// again runs a policy that was learned as a box of its own.
func again(t *testing.T, file string, text []byte, reach func(*box.Containers)) {
	t.Helper()
	learnedFile := filepath.Join(filepath.Dir(file), "again.yaml")
	if err := os.WriteFile(learnedFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	get := simulatedClient(t, learnedFile, reach)
	for path, want := range map[string]string{
		"/here": "200 hello anyone", "/talk/4": "200 ", "/fill?with=/tmp/big": "200 REACHED", "/fill?with=/data/big": "200 REACHED",
		"/direct?with=http://api.example/": "200 REACHED: 200 outside", "/dial?with=tcp+10.1.2.3:5432": "200 REACHED",
		"/self":                              "403 ", // not asked for while learning
		"/fill?with=/elsewhere":              "200 blocked",
		"/direct?with=http://other.example/": "200 blocked",
		"/dial?with=tcp+10.1.2.3:5433":       "200 blocked",
	} {
		if got := get(path); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.200s, expected %s", path, got, want)
		}
	}
}

// TestLearnPlain: of a command without an image the requests are seen, as whom they
// are sent and as which action, and the rest of the policy stays.
func TestLearnPlain(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("app")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(t.TempDir(), "box.yaml")
	doc := fmt.Sprintf("name: a # mine\napp:\n  command: [%q, %q]\n  listen: %s\n  actions: [{method: GET, path: /list, is: list}]\n"+
		"callers:\n  - {name: ci, api_key: \"sha256:%s\", may: [query]}\n  - {name: other, api_key: \"sha256:%s\", may: [query]}\n",
		program, addr, port, strings.Repeat("ab", 32), strings.Repeat("cd", 32))
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	out, document, saw := learned(t, file, "/list /a?x=canary /.well-known/blindbox/health /.well-known/blindbox/me", learnOptions{as: "ci"})
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	ci := p.Callers[0]
	if fmt.Sprint(ci.May, ci.Methods, ci.Paths) != "[query list observe] [GET] [/list /a]" || ci.Name != "ci" || fmt.Sprintf("%x", *ci.APIKey) != strings.Repeat("ab", 32) {
		t.Errorf("%s\n%s", text, saw)
	}
	if notes := fmt.Sprint(document["notes"]); !strings.Contains(notes, "plain process") || !strings.Contains(notes, "caller other sent nothing") {
		t.Errorf("notes %s", notes)
	}
	if !strings.HasPrefix(string(text), "# Learned") || !strings.Contains(string(text), "name: a # mine") || p.Egress.Line != 0 || strings.Contains(string(text), "canary") || document["widened"] != true {
		t.Errorf("%s\n%v", text, document)
	}
}

// TestLearnRefuses before anything is started.
func TestLearnRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const app = "name: a\napp: {command: [/a], listen: 80}\n"
	two := write("two.yaml", app+"callers:\n  - {anyone: true, may: [query]}\n  - {name: ci, api_key: \"sha256:"+strings.Repeat("ab", 32)+"\", may: [query]}\n")
	none := write("none.yaml", app)
	out := filepath.Join(dir, "out.yaml")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"no --out FILE", []string{two, "--as", "ci"}},
		{"one FILE", []string{"--out", out}},
		{"one FILE", []string{"--out", out, "--", "x"}},
		{"exists already", []string{two, "--out", two, "--as", "ci"}},
		{"anyone, ci", []string{two, "--out", out}},
		{"expected anyone, ci", []string{two, "--out", out, "--as", "x"}},
		{"no callers", []string{none, "--out", out}},
		{"expected 2 or more", []string{two, "--out", out, "--as", "ci", "--star", "1"}},
		{"for an app from an image", []string{two, "--out", out, "--as", "ci", "--allow-egress", "a:1"}},
		{"BBX-105", []string{filepath.Join(dir, "gone.yaml"), "--out", out}},
	} {
		var text bytes.Buffer
		exit := run(t.Context(), session{
			args: append([]string{"policy", "learn"}, c.args...), stdin: strings.NewReader(""), stdout: &text, stderr: &text, env: os.Getenv, now: time.Now,
		})
		if exit != exitUsage || !strings.Contains(text.String(), c.want) {
			t.Errorf("%v: exit code %d, expected %q in\n%s", c.args, exit, c.want, text.String())
		}
	}
	for _, bad := range []string{"a", "a:0", ":1", "a:x", "a:70000"} {
		if _, err := parseDestinations([]string{bad}, true); err == nil {
			t.Errorf("%s is a destination", bad)
		}
	}
	if d, err := parseDestinations([]string{"a.example:443", "10.0.0.1:1"}, true); err != nil || len(d) != 2 || d[0].Private || !d[1].Private {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestLearnAllowedEgress: what a flag names is reached while learning, and nothing else.
func TestLearnAllowedEgress(t *testing.T) {
	file := imagePolicy(t, "egress: {allow: [{host: \"*.listed.example\", port: 80}]}\n")
	out, _, saw := learned(t, file, "/direct?with=http://api.example/ /direct?with=http://a.listed.example/ /direct?with=http://other.example/ /proxied?with=http://proxied.example/",
		learnOptions{reach: destination(t), egress: []string{"api.example:80"}})
	for _, want := range []string{
		"/direct?with=http://api.example/ 200 REACHED: 200 outside", "/direct?with=http://a.listed.example/ 200 REACHED: 200 outside",
		"/direct?with=http://other.example/ 200 blocked", "/proxied?with=http://proxied.example/ 200 REACHED: 403 blindbox refused",
	} {
		if !strings.Contains(saw, want) {
			t.Errorf("no %q in\n%s", want, saw)
		}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Egress.Allow); got != "[api.example:80 *.listed.example:80 other.example:80 proxied.example:80]" {
		t.Errorf("%s\n%s", got, text)
	}
}

// TestLearnNothing: without a request there is nothing to write.
func TestLearnNothing(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("app")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	file, out := filepath.Join(dir, "box.yaml"), filepath.Join(dir, "out.yaml")
	doc := fmt.Sprintf("name: a\napp: {command: [%q, %q], listen: %s}\ncallers: [{anyone: true, may: [query]}]\n", program, addr, port)
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(workloadVariable, "/a")
	for _, c := range [][2]string{{"gone", "no request reached the app"}, {"workload", ""}} {
		command, want := c[0], c[1]
		var text together
		exit := run(t.Context(), session{
			args: []string{"policy", "learn", file, "--out", out, "--", command}, stdin: strings.NewReader(""), stdout: &text, stderr: &text, now: time.Now,
			env: func(name string) string { return map[string]string{"BLINDBOX_HOME": dir}[name] },
		})
		if (exit == 0) != (want == "") || !strings.Contains(text.String(), want) || isThere(out) != (want == "") {
			t.Errorf("%s: exit code %d\n%s", command, exit, text.String())
		}
	}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
