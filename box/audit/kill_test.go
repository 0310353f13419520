package audit

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestKilled runs a box's log in a process of its own and kills it (SIGKILL) in the
// middle, five times on one file. What is there is a chain; each run goes on in it.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "audit.log")
	for run := range 5 {
		cmd := exec.Command(exe, "-test.run", "^TestKilledChild$")
		cmd.Env = append(os.Environ(), "AUDIT_FILE="+file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != fmt.Sprint("written ", 300*(run+1)); {
		}
		cmd.Process.Kill()
		cmd.Wait()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := sound(t, text)
		if len(r.Runs) != run+1 || r.Allowed == 0 || r.Runs[run].Stopped {
			t.Fatalf("run %d: %d runs, %d records, %+v", run, len(r.Runs), r.Next, r.Runs)
		}
		if torn := len(text) > 0 && text[len(text)-1] != '\n'; torn != r.Torn {
			t.Errorf("run %d: torn %v, said %v", run, torn, r.Torn)
		}
	}
}

// TestKilledChild is the process that is killed.
func TestKilledChild(t *testing.T) {
	file := os.Getenv("AUDIT_FILE")
	if file == "" {
		return
	}
	old, err := os.ReadFile(file)
	state := First()
	if err == nil {
		if state, err = Resume(bytes.NewReader(old)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(Config{Key: newKey(t), Callers: []string{"clinic"}, Sink: f, Now: time.Now, HeadEvery: 50}, state)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 200_000; i++ { // ends by itself if nobody kills it
		l.Decided(allow("clinic"))
		if i%300 == 0 && i < 1800 {
			l.Sync()
			if _, err := fmt.Println("written", i); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
	}
}
