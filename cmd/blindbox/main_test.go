package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/blindbox/blindbox/box/peers/judge"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/coder/websocket"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	sandbox.Keep(os.Args)
	judge.Keep(os.Args)
	testscript.Main(m, map[string]func(){"blindbox": main, "app": app, "workload": workload, "signed": signedFiles, "policy-for": policyFor, "records": recordsOf})
}

// app is what the scripts wrap in a box: it answers what it was sent.
func app() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Args[1] == "--silent" {
		silent(ctx, os.Args[2], os.Args[3])
		return
	}
	srv := &http.Server{Addr: os.Args[1], ReadHeaderTimeout: time.Minute, Handler: appHandler()}
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func appHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-App", "yes")
		if r.URL.Path == "/teapot" {
			w.WriteHeader(http.StatusTeapot)
		}
		fmt.Fprintf(w, "%s %s %d bytes, key %q, %s\n", r.Method, r.URL.Path, len(body), r.Header.Get("Authorization"), r.Header.Get("Content-Type"))
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, _ := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
	})
	next := make(chan struct{})
	mux.HandleFunc("/next", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case next <- struct{}{}:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, bytes.ToUpper(msg)) != nil {
				return
			}
		}
	})
	return mux
}

// silent accepts connections and says nothing; file tells that somebody spoke.
func silent(ctx context.Context, addr, file string) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			go func() {
				if n, _ := c.Read(make([]byte, 1)); n == 1 {
					_ = os.WriteFile(file, []byte("somebody spoke"), 0o644)
				}
			}()
		}
	}()
	<-ctx.Done()
	ln.Close()
}

func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Deadline:            time.Now().Add(10 * time.Minute),
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPO", repo)
			// The race detector would wait a second at the end of every process.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("SNP", filepath.Join(repo, "vectors", "snp"))
			env.Setenv("VECTORS", filepath.Join(repo, "vectors"))
			env.Setenv("BLINDBOX_HOME", filepath.Join(env.WorkDir, ".home"))
			for _, name := range []string{"BOX", "APP", "LOCAL"} {
				addr, err := freeAddress()
				if err != nil {
					return err
				}
				env.Setenv(name, addr)
			}
			env.Setenv("MODELS", os.Getenv("BLINDBOX_MODELS"))
			env.Setenv("TOKENIZERS", os.Getenv("BLINDBOX_TOKENIZERS"))
			_, port, _ := net.SplitHostPort(env.Getenv("APP"))
			env.Setenv("APP_PORT", port)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "models" {
				return false, fmt.Errorf("no condition %q", name)
			}
			return os.Getenv("BLINDBOX_MODELS") != "" && os.Getenv("BLINDBOX_TOKENIZERS") != "", nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"wait-file": waitFile,
			"wait-port": waitPort,
			"exit":      exitCode,
		},
	})
}

// nextPort is the port that freeAddress tries next. It begins somewhere in a range
// from which systems give out no ports by themselves, so that a port stays free
// until the program that is told it listens.
var nextPort = func() *atomic.Int32 {
	var p atomic.Int32
	p.Store(10000 + rand.Int32N(20000))
	return &p
}()

// freeAddress returns an address that nobody listens on, and that no other call of
// this process returns.
func freeAddress() (string, error) {
	var last error
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", nextPort.Add(1))
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, ln.Close()
		}
		last = err
	}
	return "", last
}

const patience = time.Minute

// waitFile waits until a file is there: a box that runs has written its trust file.
func waitFile(ts *testscript.TestScript, _ bool, args []string) {
	waitUntil(ts, args, func(name string) bool {
		info, err := os.Stat(ts.MkAbs(name))
		return err == nil && info.Size() > 0
	})
}

// waitPort waits until somebody listens.
func waitPort(ts *testscript.TestScript, _ bool, args []string) {
	waitUntil(ts, args, func(addr string) bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func waitUntil(ts *testscript.TestScript, args []string, done func(string) bool) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if done(args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: nothing there after %s", args[0], patience)
		}
	}
}

// exitCode runs a command that must end with that exit code: exit 2 blindbox ...
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var failed interface{ ExitCode() int }
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, expected %s", got, args[0])
	}
}

// TestHelpFits: no line of a help text is wider than a terminal, none of a flag that is
// long either.
func TestHelpFits(t *testing.T) {
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		var text strings.Builder
		cmd.SetOut(&text)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRoot(&session{}))
}
