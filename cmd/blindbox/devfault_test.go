package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFaults starts a box with each fault and watches clients: `verify` shows
// the code that was promised, `connect` and `curl` send nothing.
func TestFaults(t *testing.T) {
	home := t.TempDir()
	env := map[string]string{"BLINDBOX_HOME": home, "PATH": os.Getenv("PATH"), "HOME": home}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			dir := t.TempDir()
			spoke, trust := filepath.Join(dir, "spoke"), filepath.Join(dir, "trust.yaml")
			app, err := freeAddress()
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(app)
			if f.closed {
				refusedWith(t, env, f, []string{"dev", "--fault", f.name, "--listen", "127.0.0.1:0", "--port", port, "--trust-out", trust,
					"--", "app", "--silent", app, spoke})
				if _, err := os.Stat(spoke); err == nil {
					t.Error("the app was started")
				}
				return
			}
			box := start(t, env, "dev", "--fault", f.name, "--listen", "127.0.0.1:0", "--port", port, "--trust-out", trust,
				"--", "app", "--silent", app, spoke)
			if told, ok := box.document["fault"].(map[string]any); !ok || told["name"] != f.name || told["expect"] != f.entry().ID() {
				t.Errorf("the box says %v", box.document["fault"])
			}
			url, key := box.text(t, "url"), box.text(t, "api_key_file")
			if f.front == frontNone && box.document["simulated"] != true {
				t.Error("not called simulated")
			}
			for _, args := range [][]string{
				{"verify", "--trust", trust, url},
				{"connect", "--listen", "127.0.0.1:0", "--trust", trust, "--api-key-file", key, url},
				{"curl", "--trust", trust, "--api-key-file", key, "-d", "one patient has a cough", url + "/v1"},
			} {
				refusedWith(t, env, f, args)
			}
			if _, err := os.Stat(spoke); err == nil {
				t.Error("something was sent to the app")
			}
		})
	}
}

// refusedWith runs a command that must end with the fault's code.
func refusedWith(t *testing.T, env map[string]string, f fault, args []string) {
	t.Helper()
	var out, stderr bytes.Buffer
	exit := run(t.Context(), session{
		args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &stderr,
		env: func(name string) string { return env[name] }, now: time.Now,
	})
	if want := int(f.entry().Stage()); exit != want {
		t.Errorf("%s: exit code %d, expected %d", args[0], exit, want)
	}
	text := stderr.String()
	if _, told, found := strings.Cut(text, "expect     "+f.entry().ID()); found {
		text = told // what was announced before
	}
	if _, rest, found := strings.Cut(text, "BBX-"); !found || !strings.HasPrefix("BBX-"+rest, f.entry().ID()+" ") {
		t.Errorf("%s: expected %s first\n%s%s", args[0], f.entry().ID(), out.String(), text)
	}
	if !f.closed && !strings.Contains(text, "nothing was sent.") {
		t.Errorf("%s: does not say that nothing was sent\n%s", args[0], text)
	}
	if strings.Contains(out.String(), "VERIFIED") {
		t.Errorf("%s: verified\n%s", args[0], out.String())
	}
}

// TestFaultsAreDocumented: the page of the simulation names each fault with
// what a client says.
func TestFaultsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/hardware/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, f := range faults() {
		if f.entry().Number == 0 {
			t.Errorf("%s: no entry for %s", f.name, f.code)
		}
		who := ""
		if f.closed {
			who = "nothing; the box: "
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s%s, `%s` | %d |\n", f.name, f.about, who, f.entry().ID(), f.code, f.entry().Stage())
	}
	if !strings.Contains(strings.ReplaceAll(string(page), "\r\n", "\n"), table.String()) {
		t.Errorf("docs/hardware/simulation.md has another table, expected\n%s", table.String())
	}
}

func TestFaultNames(t *testing.T) {
	seen := map[string]bool{"": true, faultList: true}
	for _, f := range faults() {
		if seen[f.name] {
			t.Errorf("%q twice", f.name)
		}
		seen[f.name] = true
		if got, err := findFault(f.name); err != nil || got.name != f.name {
			t.Errorf("%s: %v, %v", f.name, got.name, err)
		}
	}
	if f, err := findFault(""); err != nil || f.name != "" || f.document() != nil {
		t.Errorf("no fault: %v, %v", f, err)
	}
	if _, err := findFault("tcb"); err == nil {
		t.Error("half a name was accepted")
	}
	var out bytes.Buffer
	args := []string{"dev", "--fault", "tcb"} // and nothing to run, which is the lesser mistake
	if exit := run(t.Context(), session{args: args, stdout: &out, stderr: &out, env: os.Getenv, now: time.Now}); exit != 1 || !strings.Contains(out.String(), "--fault list") {
		t.Errorf("exit code %d: %s", exit, out.String())
	}
	out.Reset()
	if exit := run(t.Context(), session{args: []string{"dev", "-o", "json", "--fault", "list"}, stdout: &out, stderr: &out, env: os.Getenv, now: time.Now}); exit != 0 {
		t.Fatalf("exit code %d: %s", exit, out.String())
	}
	var list []struct{ Name, Expect string }
	if err := json.Unmarshal(out.Bytes(), &list); err != nil || len(list) != len(faults()) || list[0].Expect != "BBX-250" {
		t.Errorf("%v, %v", list, err)
	}
}
