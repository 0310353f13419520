//go:build unix

package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/peers/wire"
	"github.com/blindbox/blindbox/policy"
)

// TestMain makes the test binary a verifier that does what its name says.
func TestMain(m *testing.M) {
	if mode, ok := strings.CutPrefix(os.Args[0], "fake-"); ok {
		fake(mode)
		return
	}
	os.Exit(m.Run())
}

// fake is a verifier that has been taken over, or broken.
func fake(mode string) {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGTERM)
	mode, file, _ := strings.Cut(mode, "@")
	if file != "" {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, os.Getpid())
			f.Close()
		}
	}
	switch mode {
	case "held": // until somebody has opened the pipe, and closed it again
		if f, err := os.Open(os.Args[0][len("fake-held@"):] + ".pipe"); err == nil {
			io.Copy(io.Discard, f)
		}
		mode = "yes"
	case "dead":
		syscall.Exit(1) // at once: with the race detector, others take a second
	case "mute":
		select {}
	case "garbage":
		io.WriteString(os.Stdout, strings.Repeat("garbage", 1<<10))
		select {}
	case "flood":
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				select {}
			}
		}
	}
	wire.WriteReady(os.Stdout)
	switch mode {
	case "deaf": // never reads: a large question does not fit into the pipe
		select {}
	case "leave":
		syscall.Exit(1)
	}
	q, err := wire.ReadQuestion(os.Stdin)
	if err != nil {
		return
	}
	switch mode {
	case "yes":
		wire.WriteAnswer(os.Stdout, wire.Answer{Accepted: true, Reference: len(q.References) - 1, Until: time.Unix(4e9, 0)})
	case "no":
		wire.WriteAnswer(os.Stdout, wire.Refused([]attest.Check{{Name: "code.measurement", Code: "measurement_mismatch"}}))
	case "crash":
		syscall.Exit(2)
	case "killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hang":
		select {}
	case "drip": // a byte now and then, and never all
		for {
			os.Stdout.Write([]byte("B"))
			time.Sleep(time.Millisecond)
		}
	case "answer-garbage":
		os.Stdout.WriteString(strings.Repeat("yes", 1<<10))
	case "answer-flood":
		os.Stdout.WriteString("BBV1A\x00\xff\xff\xff")
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	case "answer-cut":
		os.Stdout.WriteString("BBV1A\x00\x00\x00\x0c\x01\x00")
	case "other-reference":
		wire.WriteAnswer(os.Stdout, wire.Answer{Accepted: true, Reference: len(q.References)})
	}
	select {}
}

// clock is a clock that is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) add(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

// document has two boxes with one policy, and one with another.
func document(t testing.TB) *policy.Policy {
	t.Helper()
	line := func(name, measurement, digest string) string {
		return fmt.Sprintf("  - {name: %s, attested: {kind: sev-snp, measurement: %q, policy: sha256:%s}, may: [query]}\n", name, strings.Repeat(measurement, 48), strings.Repeat(digest, 32))
	}
	p, err := policy.Parse([]byte("name: b\nmodels: [{name: m, builtin: m}]\ncallers:\n  - {anyone: true, may: [query]}\n" +
		line("first", "11", "aa") + line("other", "11", "bb") + line("second", "22", "aa")))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shown is what a caller with the policy of first and second shows.
func shown() atls.Presented {
	s := attest.Statement{
		Purpose: attest.PurposePeer, Role: attest.RoleClient, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		NotBefore: time.Unix(1_800_000_000, 0), NotAfter: time.Unix(1_800_000_000, 0),
	}
	for i := range s.Policy {
		s.Policy[i] = 0xaa
	}
	encoded, _ := s.Encode()
	return atls.Presented{
		Statement: s, At: time.Unix(1_800_000_000, 0), Checks: []attest.Check{{Name: "channel.nonce", Status: attest.Pass}},
		Bundle: attest.Bundle{Evidence: attest.Evidence{Kind: attest.SNP, Data: make([]byte, 1000)}, Statement: encoded, Policy: []byte("policy")},
	}
}

// checker is one with a fake verifier. The file, if there is one, gets the ids of
// its processes.
func checker(t testing.TB, mode string, limit time.Duration, change ...func(*Verifier)) *Checker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v := Verifier{Program: self, Limit: limit, name: "fake-" + mode}
	for _, f := range change {
		f(&v)
	}
	c, err := New(document(t), &v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

const patience = time.Minute // for what has to happen

// TestVerdicts: yes is yes for the line that was asked about, and everything that
// is not a yes in time is a refusal.
func TestVerdicts(t *testing.T) {
	got, err := checker(t, "yes", patience).Check(t.Context(), shown())
	peer, ok := got.(*Peer)
	if err != nil || !ok || len(peer.Callers) != 1 || peer.Callers[0] != "second" || !peer.ValidUntil().Equal(time.Unix(4e9, 0)) {
		t.Errorf("yes: %+v, %v", got, err)
	}
	got, err = checker(t, "no", patience).Check(t.Context(), shown())
	var failure *attest.Failure
	if got != nil || !errors.As(err, &failure) || failure.Code() != "measurement_mismatch" {
		t.Errorf("no: %v, %v", got, err)
	}
	for _, mode := range []string{"dead", "garbage", "leave", "crash", "killed", "answer-garbage", "answer-flood", "other-reference", "flood"} {
		unjudged(t, mode, checker(t, mode, patience), shown())
	}
	// What ends by the clock alone.
	for _, mode := range []string{"hang", "drip", "answer-cut"} {
		unjudged(t, mode, checker(t, mode, 100*time.Millisecond), shown())
	}
	unjudged(t, "mute", checker(t, "mute", 100*time.Millisecond), shown())
	large := shown()
	large.Bundle.Evidence.Data = make([]byte, attest.MaxEvidence)
	unjudged(t, "deaf", checker(t, "deaf", 100*time.Millisecond), large)
	unjudged(t, "no program", checker(t, "yes", patience, func(v *Verifier) { v.Program = "/nonexistent/boxverify" }), shown())
}

func unjudged(t *testing.T, mode string, c *Checker, p atls.Presented) {
	t.Helper()
	got, err := c.Check(t.Context(), p)
	var failure *attest.Failure
	if got != nil || !errors.As(err, &failure) || failure.Code() != attest.CodeUnavailable || strings.Contains(err.Error(), "fake") {
		t.Errorf("%s: %v, %v", mode, got, err)
	}
}

// TestNotAsked: what the box can tell by itself costs no process.
func TestNotAsked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	c := checker(t, "yes@"+file, patience)
	for name, tc := range map[string]struct {
		change func(*atls.Presented)
		want   attest.Code
	}{
		"a failed check of the channel": {func(p *atls.Presented) {
			p.Checks = append(p.Checks, attest.Check{Name: "channel.tls_exporter", Code: attest.CodeChannelMismatch})
		}, attest.CodeChannelMismatch},
		"no checks":       {func(p *atls.Presented) { p.Checks = nil }, ""},
		"another policy":  {func(p *atls.Presented) { p.Statement.Policy[0] ^= 1 }, attest.CodePolicyMismatch},
		"another kind":    {func(p *atls.Presented) { p.Bundle.Evidence.Kind = attest.SGX }, attest.CodeKindMismatch},
		"no statement":    {func(p *atls.Presented) { p.Statement.Nonce = [32]byte{} }, attest.CodeMalformed},
		"too long a part": {func(p *atls.Presented) { p.Bundle.Evidence.Data = make([]byte, attest.MaxEvidence+1) }, attest.CodeMalformed},
	} {
		p := shown()
		tc.change(&p)
		got, err := c.Check(t.Context(), p)
		var failure *attest.Failure
		if got != nil || !errors.As(err, &failure) || failure.Code() != tc.want {
			t.Errorf("%s: %v, %v, expected %s", name, got, err, tc.want)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a process was started: %v", err)
	}
}

func pids(t testing.TB, file string) []int {
	t.Helper()
	text, _ := os.ReadFile(file)
	var out []int
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

// TestOneEach: each caller has a process of its own, which is gone after it, and one
// is ready for the next.
func TestOneEach(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	c := checker(t, "yes@"+file, patience)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	first := c.pool.spare.process.Pid
	for range 3 {
		if _, err := c.Check(t.Context(), shown()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the first process to end", func() bool { return syscall.Kill(first, 0) != nil })
	await(t, "a spare one", func() bool { c.pool.mu.Lock(); defer c.pool.mu.Unlock(); return c.pool.spare != nil })
	seen := map[int]bool{}
	for _, pid := range pids(t, file) {
		if seen[pid] {
			t.Errorf("process %d was used twice", pid)
		}
		seen[pid] = true
	}
	if len(seen) < 4 || !seen[first] {
		t.Errorf("processes %v, expected three that were used, the first with %d, and one that waits", seen, first)
	}
	c.Close()
	for pid := range seen {
		await(t, "all to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
	unjudged(t, "after close", c, shown())
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// TestStart: a program that does not get ready is found out about at the start.
func TestStart(t *testing.T) {
	for _, mode := range []string{"dead", "garbage", "flood"} {
		if err := checker(t, mode, patience).Start(); err == nil {
			t.Errorf("%s: started", mode)
		}
	}
	c := checker(t, "yes", patience)
	var first *worker
	for range 2 {
		first = c.pool.spare
		if err := c.Start(); err != nil {
			t.Error(err)
		}
	}
	if _, err := first.in.Write([]byte{0}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("nobody ends the process that was for the first caller: %v", err)
	}
	c.Close()
	if err := c.Start(); err == nil {
		t.Error("started after the end")
	}
}

// TestSpareKilled: somebody kills the process that waits. The next caller gets
// another one.
func TestSpareKilled(t *testing.T) {
	c := checker(t, "yes", patience)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w := c.pool.spare
	syscall.Kill(w.process.Pid, syscall.SIGKILL)
	<-w.gone
	if _, err := c.Check(t.Context(), shown()); err != nil {
		t.Error(err)
	}
}

// TestClosedWhileStarting: a process that gets ready when the box has ended ends too.
func TestClosedWhileStarting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	if err := syscall.Mkfifo(file+".pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	c := checker(t, "held@"+file, patience)
	prepared := make(chan struct{})
	go func() { c.pool.prepare(); close(prepared) }()
	pipe, err := os.OpenFile(file+".pipe", os.O_WRONLY, 0) // when it has been started
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	pipe.Close()
	<-prepared
	if c.pool.spare != nil {
		t.Error("a process waits for a caller of a box that has ended")
	}
	for _, pid := range pids(t, file) {
		await(t, "it to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}

// TestPause: a program that does not start is tried again after a while, and what
// one caller did to its process is no reason to wait.
func TestPause(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	hand := &clock{now: time.Unix(1_800_000_000, 0)}
	var mu sync.Mutex
	var told []string
	by := func(v *Verifier) {
		v.Now = hand.Now
		v.Log = func(line string) { mu.Lock(); told = append(told, line); mu.Unlock() }
	}
	c := checker(t, "dead@"+file, patience, by)
	pause := firstPause
	for n := 1; n <= 10; n++ {
		unjudged(t, "first", c, shown())
		unjudged(t, "at once", c, shown())
		hand.add(pause - 1)
		unjudged(t, "a moment early", c, shown())
		if got := len(pids(t, file)); got != n {
			t.Fatalf("%d processes after %d pauses, expected %d", got, n-1, n)
		}
		hand.add(1)
		pause = min(2*pause, lastPause)
	}
	mu.Lock()
	starts := 0
	for _, line := range told {
		if strings.Contains(line, "does not start, and is tried again in ") {
			starts++
		}
	}
	if starts != 10 || len(told) != 10 {
		t.Errorf("told %q", told)
	}
	told = nil
	mu.Unlock()

	file += "2"
	c = checker(t, "crash@"+file, patience, by)
	for range 5 {
		unjudged(t, "crash", c, shown())
	}
	if got := len(pids(t, file)); got < 5 {
		t.Errorf("%d processes for 5 callers", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 {
		t.Errorf("callers decide how often the operator is told: %q", told)
	}
}

// TestTurns: no more than so many judge at a time, and whoever gives up waiting is
// refused.
func TestTurns(t *testing.T) {
	c := checker(t, "hang", patience)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range maxProcesses {
		wg.Go(func() {
			if got, err := c.Check(ctx, shown()); got != nil || err == nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	await(t, "all turns to be taken", func() bool { return len(c.pool.turns) == maxProcesses })
	if cap(c.pool.turns) != maxProcesses {
		t.Errorf("%d turns, expected %d", cap(c.pool.turns), maxProcesses)
	}
	late, stop := context.WithCancel(t.Context())
	stop()
	if got, err := c.Check(late, shown()); got != nil || err == nil {
		t.Errorf("%v, %v", got, err)
	}
	cancel()
	wg.Wait()
	if len(c.pool.turns) != 0 {
		t.Errorf("%d turns are still taken", len(c.pool.turns))
	}
}

// TestLittleTime: a caller who leaves no time for the verdict is refused, and nobody
// else.
func TestLittleTime(t *testing.T) {
	c := checker(t, "yes", patience)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for range 3 {
		if got, err := c.Check(ctx, shown()); got != nil || err == nil {
			t.Errorf("%v, %v", got, err)
		}
	}
	if got, err := c.Check(t.Context(), shown()); got == nil || err != nil {
		t.Errorf("the next one: %v, %v", got, err)
	}
}

// TestNew: what cannot be recognised is said, all of it.
func TestNew(t *testing.T) {
	doc := "name: b\nmodels: [{name: m, builtin: m}]\ncallers:\n"
	if _, err := New(parsed(t, doc+"  - {anyone: true, may: [query]}\n"), nil); !errors.Is(err, ErrNone) {
		t.Errorf("no boxes: %v", err)
	}
	hash := strings.Repeat("ab", 32)
	two := doc + "  - {name: x, attested: {kind: tdx, measurement: \"" + strings.Repeat("ab", 48) + "\", policy: \"sha256:" + hash + "\"}, may: [query]}\n" +
		"  - {name: z, attested: {kind: azure-sev-snp, measurement: \"" + strings.Repeat("ab", 48) + "\", policy: \"sha256:" + hash + "\"}, may: [query]}\n"
	_, err := New(parsed(t, two), &Verifier{Program: "/x"})
	if err == nil || !strings.Contains(err.Error(), `"x" (line 4)`) || !strings.Contains(err.Error(), `"z" (line 5)`) {
		t.Errorf("%v", err)
	}
	if _, err := New(document(t), &Verifier{}); err == nil || !strings.Contains(err.Error(), `"first" (line 5)`) {
		t.Errorf("a verifier without a program: %v", err)
	}
	if _, err := New(document(t), nil); err == nil || !strings.Contains(err.Error(), `"first" (line 5)`) {
		t.Errorf("no verifier: %v", err)
	}
	for n, many := range map[int]bool{wire.MaxReferences: false, wire.MaxReferences + 1: true} {
		alike := doc
		for i := range n {
			alike += fmt.Sprintf("  - {name: n%d, attested: {kind: sev-snp, measurement: \"%096x\", policy: \"sha256:%s\"}, may: [query]}\n", i, i+1, hash)
		}
		// One with another policy counts by itself.
		alike += fmt.Sprintf("  - {name: o, attested: {kind: sev-snp, measurement: \"%096x\", policy: \"sha256:%s\"}, may: [query]}\n", 1, strings.Repeat("cd", 32))
		_, err := New(parsed(t, alike), &Verifier{Program: "/x"})
		if (err != nil) != many || many && !strings.Contains(err.Error(), `"n64" (line 68) is one of more than 64`) {
			t.Errorf("%d boxes alike: %v", n, err)
		}
	}
	c := checker(t, "yes", patience)
	if cfg := c.Config(); cfg.Require || cfg.Skew != wire.Skew || len(cfg.Kinds) != 1 || cfg.Kinds[0] != attest.SNP || cfg.Check == nil {
		t.Errorf("%+v", cfg)
	}
}

func parsed(t testing.TB, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
