package box

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/audit"
	"github.com/blindbox/blindbox/box/seal"
	"github.com/blindbox/blindbox/examples/tumour"
)

const modelBox = "name: m\nmodels: [{name: tumour, builtin: tumour}]"

func tumours() map[string][]byte { return map[string][]byte{"tumour": tumour.Model()} }

// finish stops a box in order.
func (r *running) finish(t testing.TB) {
	t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
}

func verified(t testing.TB, dir string) audit.Report {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, auditFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := audit.Verify(f)
	if err != nil || r.Fault != nil {
		t.Fatalf("%v, %+v", err, r)
	}
	return r
}

// TestAuditGoesOn: the log of a box goes on over restarts, and says where it was
// interfered with. The evidence for each key lies beside it.
func TestAuditGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	name := filepath.Join(dir, auditFile)
	run := func() {
		b := serve(t, Config{Policy: parsed(t, modelBox+twoKeys+"audit: host\n"), Builtin: tumours(), Audit: dir})
		do(t, b.client(t, "h2"), request(t, "GET", "/v2", nil))
		b.finish(t)
		// Who may observe sees this run, behind the sum of those before.
		r, err := audit.Verify(bytes.NewReader(b.records.ring.Bytes()))
		if err != nil || r.Fault != nil || len(r.Runs) != 1 || !r.Runs[0].Stopped {
			t.Errorf("in memory: %v, %+v", err, r)
		}
	}
	run()
	run()
	r := verified(t, dir)
	if len(r.Runs) != 2 || len(r.Breaks) != 0 || r.First != 0 || r.Allowed != 2 || !r.Runs[0].Stopped || !r.Runs[1].Stopped {
		t.Fatalf("%+v", r)
	}
	for _, one := range r.Runs {
		data, err := os.ReadFile(filepath.Join(dir, hex.EncodeToString(one.Key[:8])+".bundle"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := attest.ParseBundle(data)
		if err != nil {
			t.Fatal(err)
		}
		s, err := attest.ParseStatement(b.Statement)
		if err != nil || attest.FailureOf(r.Bind(one, s, b.Evidence)) != nil {
			t.Errorf("%v, %v", err, attest.FailureOf(r.Bind(one, s, b.Evidence)))
		}
	}
	for _, c := range []struct {
		reason string
		change func([]byte) []byte
	}{
		{audit.ReasonTorn, func(text []byte) []byte { return text[:len(text)-7] }},
		{audit.ReasonAltered, func(text []byte) []byte {
			return bytes.Replace(text, []byte(`"allow":true`), []byte(`"allow":false`), 1)
		}},
		{audit.ReasonMissing, func([]byte) []byte { return nil }},
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, c.change(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run()
		if r := verified(t, dir); len(r.Breaks) == 0 || r.Breaks[len(r.Breaks)-1].Reason != c.reason {
			t.Errorf("%s: %+v", c.reason, r.Breaks)
		}
	}
}

// TestPlaces: what the policy lets out needs a folder, and what it does not let out
// gets none.
func TestPlaces(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	seals := "logs: sealed:" + id.Recipient().String() + "\n"
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pipe"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ more, logs, audit, want string }{
		{seals, "", "", "no folder for them"},
		{"", dir, "", "none that are sealed"},
		{"logs: counters\n", dir, "", "none that are sealed"},
		{"audit: host\n", "", "", "no folder for it"},
		{"", "", dir, "does not give it to the host"},
		{seals, file, "", "sealed logs: "},
		{"logs: sealed:age1qqqqqqqqq\n", dir, "", "seal: recipient"},
	} {
		_, err := New(Config{Simulation: true, Policy: parsed(t, modelBox+twoKeys+c.more), Attester: signer{}, Listener: listen(t), Builtin: tumours(), Logs: c.logs, Audit: c.audit})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, logs %q, audit %q: %v, expected %s", c.more, c.logs, c.audit, err, c.want)
		}
	}
	p := parsed(t, modelBox+twoKeys+"audit: host\n")
	b := serve(t, Config{Policy: p, Builtin: tumours(), Audit: filepath.Join(dir, "one")})
	refused := func(audit, want string) {
		t.Helper()
		second, err := New(Config{Simulation: true, Policy: p, Attester: launched(p), Listener: listen(t), Builtin: tumours(), Audit: audit})
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, expected %s", audit, err, want)
		}
	}
	refused(filepath.Join(dir, "one"), "another box's that runs")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe", auditFile), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(filepath.Join(dir, "pipe"), "not a regular file")
	refused(file, "audit log: ")
	b.finish(t)
}

// TestLogThatCannotBeWritten: a box whose log the host does not take any longer ends.
func TestLogThatCannotBeWritten(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, modelBox+twoKeys+"audit: host\n"), Builtin: tumours(), Audit: t.TempDir()})
	if err := b.records.log.Sync(); err != nil { // the file is not being written
		t.Fatal(err)
	}
	b.records.file.Close()
	if resp, _ := do(t, b.client(t, "h2"), request(t, "GET", "/v2", nil)); resp.StatusCode != 200 {
		t.Errorf("a request waited for the host: %d", resp.StatusCode)
	}
	select {
	case err := <-b.done:
		if b.done <- nil; err == nil || !strings.Contains(err.Error(), "the audit log cannot be written") {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the box goes on without a log")
	}
}

// TestLate: a host that takes nothing and says nothing is noticed.
func TestLate(t *testing.T) {
	o := &outside{failed: make(chan error, 1)}
	in, out := make(chan bool), make(chan bool)
	go func() {
		_ = o.watched(func() error { in <- true; <-out; return errors.New("broken") })
		close(in)
	}()
	<-in
	now := time.Now()
	if err := o.late(now.Add(stuckLimit / 2)); err != nil {
		t.Error(err)
	}
	if err := o.late(now.Add(2 * stuckLimit)); err == nil {
		t.Error("not noticed")
	}
	_ = o.watched(func() error { return nil })
	if err := o.late(now.Add(2 * stuckLimit)); err == nil {
		t.Error("not noticed beside a write that ended")
	}
	for began := range o.writing {
		if began.Round(0) == *began { // which drops the reading of that clock
			t.Error("the clock can be set back until nothing is late")
		}
	}
	close(out)
	<-in
	if err := o.late(now.Add(2 * stuckLimit)); err != nil {
		t.Error(err)
	}
	r := &records{sealed: &sealed{out: o}}
	if err := r.watch(t.Context()); err == nil || !strings.Contains(err.Error(), "the sealed log cannot be written: broken") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.watch(ctx); err != nil {
		t.Error(err)
	}
}

// openedLogs reads all sealed segments of a folder.
func openedLogs(t testing.TB, dir string, id age.Identity) (text string, chains []seal.Chain) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.age"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	r, err := seal.NewReader(id)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Each(f, func(s seal.Segment) error {
			for _, e := range s.Entries {
				fmt.Fprintf(&out, "%s: %s\n", e.Stream, e.Data)
			}
			return nil
		})
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return out.String(), r.Logs()
}

// TestSealedLogs: what the app prints reaches the recipient of the policy, and nobody
// else, under a key that the evidence beside it names.
func TestSealedLogs(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var clear bytes.Buffer
	b := serve(t, Config{Policy: parsed(t, self(t, "talk", "logs: sealed:"+id.Recipient().String()+"\n")), Logs: dir, AppOutput: &clear})
	do(t, b.client(t, "h2"), request(t, "POST", "/talk/"+canary, strings.NewReader("what was asked")))
	do(t, b.client(t, "h2"), request(t, "POST", "/talk/exit", strings.NewReader("x")))
	b.finish(t)
	if names := fmt.Sprint(b.events.names()); !strings.Contains(names, string(AppExited)) {
		t.Errorf("events %s", names)
	}
	for _, e := range b.events.list {
		if strings.Contains(e.String(), "exit status") {
			t.Errorf("the operator is told %s", e)
		}
	}
	text, chains := openedLogs(t, dir, id)
	for _, want := range []string{"stdout POST /talk/" + canary + " what was asked", "event: app started", "event: app exited", "exit status 3", "event: stopped"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if len(chains) != 1 || !chains[0].Ended || chains[0].Box.Policy != [32]byte(b.policy.Digest()) || clear.Len() > 0 {
		t.Errorf("%+v, %d bytes in the clear", chains, clear.Len())
	}
	data, err := os.ReadFile(filepath.Join(dir, hex.EncodeToString(chains[0].Key[:8])+".bundle"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := attest.ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := attest.ParseStatement(bundle.Statement)
	if err != nil || attest.FailureOf(chains[0].Bind(s, bundle.Evidence)) != nil {
		t.Errorf("%v, %v", err, attest.FailureOf(chains[0].Bind(s, bundle.Evidence)))
	}
	if err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		noCanary(t, name, name+string(text))
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestSealedLogOfTheNextKey: with another key comes another log, and none is lost.
func TestSealedLogOfTheNextKey(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := serve(t, Config{Policy: parsed(t, modelBox+twoKeys+"logs: sealed:"+id.Recipient().String()+"\n"), Builtin: tumours(), Logs: dir})
	io.WriteString(b.sealed, "before\n")
	if err := b.records.rekey(t.Context()); err != nil {
		t.Fatal(err)
	}
	io.WriteString(b.sealed, "after\n")
	b.finish(t)
	io.WriteString(b.sealed, "too late\n")
	text, chains := openedLogs(t, dir, id)
	if len(chains) != 2 || chains[0].Key == chains[1].Key || !chains[0].Ended || !chains[1].Ended {
		t.Errorf("%+v", chains)
	}
	if !strings.Contains(text, "before") || !strings.Contains(text, "after") || strings.Contains(text, "late") {
		t.Errorf("got\n%s", text)
	}
	if got, _ := filepath.Glob(filepath.Join(dir, "*.bundle")); len(got) != 2 {
		t.Errorf("evidence for %d keys", len(got))
	}
}

// TestKilledWithLog kills the process of a box (SIGKILL) while it writes its log. The
// next one goes on in the chain, or says that it is broken.
func TestKilledWithLog(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	doc := modelBox + twoKeys + "audit: host\n"
	for run := range 3 {
		cmd := exec.Command(exe, "-test.run", "^TestCanaryBox$", "-test.v")
		cmd.Env = append(os.Environ(), "CANARY_POLICY="+doc, "CANARY_AUDIT="+dir)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out := &sink{addr: make(chan string, 1)}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var addr string
		select {
		case addr = <-out.addr:
		case <-time.After(patience):
			t.Fatalf("the box does not open:\n%s", out)
		}
		c := (&running{Box: &Box{policy: parsed(t, doc)}, addr: addr}).client(t, "h2")
		broken := make(chan bool)
		for range 4 {
			go func() { // as fast as it goes, until the box is gone
				for ok := true; ok; {
					resp, err := c.Do(request(t, "GET", "/v2", nil))
					if ok = err == nil && resp.StatusCode == http.StatusOK; err == nil {
						resp.Body.Close()
					}
				}
				broken <- true
			}()
		}
		for at := int64(0); at < 20_000; {
			info, err := os.Stat(filepath.Join(dir, auditFile))
			if err != nil {
				t.Fatal(err)
			}
			at = info.Size() - int64(run)*20_000
			time.Sleep(time.Millisecond)
		}
		cmd.Process.Kill()
		cmd.Wait()
		stdin.Close()
		for range 4 {
			<-broken
		}
		r := verified(t, dir)
		if len(r.Runs) != run+1 || r.Runs[run].Stopped || r.Allowed == 0 {
			t.Fatalf("run %d: %+v", run, r.Runs)
		}
		for _, b := range r.Breaks {
			if b.Reason != audit.ReasonTorn {
				t.Errorf("run %d: %+v", run, b)
			}
		}
	}
}
