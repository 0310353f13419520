package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests run the test binary again as a box that dies: at every named step, and
// with a disk that is full. What the child was told is acknowledged stands in its
// output; the parent opens the folders as the next process would.

const (
	crashEnv = "STORE_TEST_CRASH" // scenario, step, disk, state
	anna     = "anna"
)

func TestMain(m *testing.M) {
	if arg := os.Getenv(crashEnv); arg != "" {
		crash(strings.Split(arg, "|"))
		return
	}
	os.Exit(m.Run())
}

// crash is the child.
func crash(arg []string) {
	step, act := arg[1], map[string]func(*Store, func()){"churn": churn, "full": full}[arg[0]]
	if act == nil {
		act = scenarios[arg[0]].act
	}
	c := Config{Memory: 1 << 20, OwnerBytes: 1 << 20, OwnerModels: 20, OwnerLoads: 2, LoadTime: time.Minute, Loader: &reader{}}
	folders{arg[2], arg[3]}.on(&c)
	armed := false
	c.step = func(at string) {
		if armed && at == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	s, err := Open(c)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(3)
	}
	act(s, func() { armed = true })
	fmt.Println("end")
}

func acknowledge(what string, err error) {
	if err == nil {
		fmt.Println("done", what)
	} else {
		fmt.Println("failed", what, err)
	}
}

// scenario is what a child does; steps is where it dies.
type scenario struct {
	steps string
	act   func(s *Store, arm func())
}

var scenarios = map[string]scenario{
	"upload": {"upload.created upload.piece upload.written upload.synced upload.renamed catalog.created catalog.written catalog.synced catalog.renamed upload.committed upload.done",
		func(s *Store, arm func()) {
			_, err := send(s, anna, Spec{Name: "first"}, file("first", 5000))
			acknowledge("+first", err)
			arm()
			_, err = send(s, anna, Spec{Name: "second"}, file("second", 5000))
			acknowledge("+second", err)
		}},
	"replace": {"upload.created upload.piece upload.written upload.synced upload.renamed catalog.created catalog.written catalog.synced catalog.renamed upload.committed upload.done",
		func(s *Store, arm func()) {
			_, err := send(s, anna, Spec{Name: "first"}, file("first", 5000))
			acknowledge("+first", err)
			arm()
			_, err = send(s, anna, Spec{Name: "first"}, file("first", 5000)) // sealed anew
			acknowledge("+first", err)
		}},
	"delete": {"catalog.created catalog.written catalog.synced catalog.renamed delete.committed delete.removed",
		func(s *Store, arm func()) {
			for _, n := range []string{"first", "second"} {
				_, err := send(s, anna, Spec{Name: n}, file(n, 5000))
				acknowledge("+"+n, err)
			}
			arm()
			acknowledge("-second", s.Delete(anna, Reference{Name: "second"}))
		}},
	"evict": {"evict",
		func(s *Store, arm func()) {
			_, err := send(s, anna, Spec{Name: "first"}, file("first", 5000))
			acknowledge("+first", err)
			arm()
			_ = s.Unload(anna, Reference{Name: "first"})
		}},
	"load": {"load.open",
		func(s *Store, arm func()) {
			_, err := send(s, anna, Spec{Name: "first"}, file("first", 5000))
			acknowledge("+first", err)
			_ = s.Unload(anna, Reference{Name: "first"})
			arm()
			_ = s.Load(context.Background(), anna, Reference{Name: "first"})
		}},
	"pin": {"catalog.created catalog.renamed",
		func(s *Store, arm func()) {
			_, err := send(s, anna, Spec{Name: "first"}, file("first", 5000))
			acknowledge("+first", err)
			arm()
			_ = s.Pin(context.Background(), anna, Reference{Name: "first"})
		}},
}

// churn goes on until it is killed.
func churn(s *Store, _ func()) {
	for i := 0; ; i++ {
		n := fmt.Sprint("m", i%churned)
		_, err := send(s, anna, Spec{Name: n}, file(n, 5000))
		acknowledge("+"+n, err)
		acknowledge("-"+n, s.Delete(anna, Reference{Name: n}))
		if i%2 == 0 {
			_, err := send(s, anna, Spec{Name: n}, file(n, 5000))
			acknowledge("+"+n, err)
		}
	}
}

// full has a file system that ends at 100,000 bytes of a file, as the kernel says it.
func full(s *Store, _ func()) {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 100000, Max: 100000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println("failed", err)
		return
	}
	_, err := send(s, anna, Spec{Name: "small"}, file("small", 5000))
	acknowledge("+small", err)
	_, err = send(s, anna, Spec{Name: "large"}, file("large", 300000))
	var full *FullError
	fmt.Println("large:", errors.As(err, &full) && full.What == "disk", err)
	_, err = send(s, anna, Spec{Name: "large"}, file("l", 90000))
	acknowledge("+l", err)
	data, err := contentOf(s, anna, "small")
	fmt.Println("small:", len(data), err)
	fmt.Println("rest:", s.invariants())
}

func child(t *testing.T, f folders, arg ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+strings.Join(append(arg, f.disk, f.state), "|"))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// TestKilled at every step: what was acknowledged is there and can be used, what was
// deleted is not, nothing is half there, and no file is left over.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, sc := range scenarios {
		for step := range strings.FieldsSeq(sc.steps) {
			t.Run(name+"/"+step, func(t *testing.T) {
				t.Parallel()
				f := newFolders(t)
				out := child(t, f, name, step)
				if strings.Contains(out, "end") || strings.Contains(out, "failed") || !strings.Contains(out, "done +first") {
					t.Fatalf("the child was not killed at %s: %q", step, out)
				}
				s := open(t, f.on)
				list, err := s.List(anna)
				must(t, err)
				there := map[string]bool{}
				for _, e := range list {
					there[e.Name] = true
					mustHave(t, s, anna, e.Name, file(e.Name, 5000))
				}
				for line := range strings.Lines(out) {
					if n, ok := strings.CutPrefix(line, "done +"); ok && !there[strings.TrimSpace(n)] && !(name == "delete" && strings.HasPrefix(n, "second")) {
						t.Errorf("%s was acknowledged and is gone", n)
					}
					if n, ok := strings.CutPrefix(line, "done -"); ok && there[strings.TrimSpace(n)] {
						t.Errorf("%s was deleted and is back", n)
					}
				}
				if committed := step == "catalog.renamed" || strings.Contains(step, "committed") || step == "upload.done" || step == "delete.removed"; name == "upload" && there["second"] != committed || name == "delete" && there["second"] == committed {
					t.Errorf("after %s: %v", step, there)
				}
				if got := names(t, f.disk); len(got) != len(list) {
					t.Errorf("%d models, on the disk %q", len(list), got)
				}
				if got := names(t, f.state); len(got) > 1 {
					t.Errorf("in the state folder %q", got)
				}
				nothingElse(t, s, anna, len(list))
			})
		}
	}
}

// TestKilledAtAnyTime: the same at moments that nobody has named.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			f := newFolders(t)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), crashEnv+"=churn||"+f.disk+"|"+f.state)
			var out bytes.Buffer
			cmd.Stdout = &out
			must(t, cmd.Start())
			time.Sleep(time.Duration(50+37*i) * time.Millisecond)
			must(t, cmd.Process.Kill())
			_ = cmd.Wait()
			s := open(t, f.on)
			sure := map[string]bool{} // acknowledged; what came after the last line may be either way
			last := ""
			for line := range strings.Lines(out.String()) {
				if sign, ok := strings.CutPrefix(line, "done "); ok && strings.HasSuffix(line, "\n") {
					last = strings.TrimSpace(sign[1:])
					sure[last] = sign[0] == '+'
				}
			}
			for n, there := range sure {
				_, err := s.Get(anna, Reference{Name: n})
				if there != (err == nil) && !next(last, n) {
					t.Errorf("%s: acknowledged %v, then %v", n, there, err)
				}
			}
			list, err := s.List(anna)
			must(t, err)
			for _, e := range list {
				mustHave(t, s, anna, e.Name, file(e.Name, 5000))
			}
			if got := names(t, f.disk); len(got) != len(list) {
				t.Errorf("%d models, on the disk %q", len(list), got)
			}
		})
	}
}

// next says that n is what the churn was at after last.
func next(last, n string) bool {
	for i := range churned {
		if fmt.Sprint("m", i) == last {
			return n == last || n == fmt.Sprint("m", (i+1)%churned)
		}
	}
	return true
}

const churned = 5

func TestDiskFull(t *testing.T) {
	t.Parallel()
	f := newFolders(t)
	out := child(t, f, "full", "")
	for _, want := range []string{"done +small", "large: true", "done +l", "small: 5000 <nil>", "rest: <nil>", "end"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
	if got := names(t, f.disk); len(got) != 2 {
		t.Errorf("on the disk %q", got)
	}
	if _, err := os.Stat(filepath.Join(f.state, catalogName)); err != nil {
		t.Error(err)
	}
}
