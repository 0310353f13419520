//go:build unix

package box

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var idle = flag.Int("idle", 500, "how many connections TestIdleConnections opens and leaves alone")

// maxIdleBytes is what the box may keep for a connection that does nothing.
const maxIdleBytes = 48 << 10

// TestIdleConnections: callers that open connections, send one request and do nothing
// more cost the box little, keep nobody out, and are served when they ask again. With
// -idle 10000 it is the figure of docs/benchmarks.md. The callers are another process,
// so what is measured is the box.
func TestIdleConnections(t *testing.T) {
	openFiles(t, uint64(*idle)+200)
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) { idleConnections(t, proto) })
	}
}

func idleConnections(t *testing.T, proto string) {
	b, _ := besieged(t, "")
	others := b.client(t, "http/1.1")
	wantServed(t, others, "before")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestIdleCallers$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "IDLE_AT="+b.addr, "IDLE_COUNT="+strconv.Itoa(*idle), "IDLE_PROTOCOL="+proto)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	expect := func(what string) {
		t.Helper()
		for lines.Scan() {
			if got, ok := strings.CutPrefix(lines.Text(), what+" "); ok {
				if got != strconv.Itoa(*idle) {
					t.Fatalf("%s %s of %d", what, got, *idle)
				}
				return
			}
		}
		t.Fatalf("the callers ended before they were %s", what)
	}
	expect("open")
	each := (heap() - before) / int64(*idle)
	t.Logf("%d connections, %d bytes each", *idle, each)
	if each > maxIdleBytes {
		t.Errorf("%d bytes for each, expected at most %d", each, maxIdleBytes)
	}
	wantServed(t, others, "beside them")
	_, _ = io.WriteString(in, "ask\n")
	expect("answered")
}

// TestIdleCallers is the other process of TestIdleConnections, and nothing by itself.
func TestIdleCallers(t *testing.T) {
	addr, count, proto := os.Getenv("IDLE_AT"), os.Getenv("IDLE_COUNT"), os.Getenv("IDLE_PROTOCOL")
	if addr == "" {
		return
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	openFiles(t, uint64(n)+200)
	conns, dial := make([]net.Conn, n), past(t, addr, proto)
	ask := func(c net.Conn, _ uint32) bool { return ask1(c) }
	if proto == "h2" {
		ask = ask2
	}
	fmt.Println("open", together(n, func(i int) bool {
		if conns[i] = dial(); conns[i] == nil {
			return false
		}
		if proto == "h2" {
			session(t, conns[i])
		}
		return ask(conns[i], 1)
	}))
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Println("answered", together(n, func(i int) bool { return ask(conns[i], 3) }))
}

func ask1(c net.Conn) bool {
	fmt.Fprintf(c, "GET /caller HTTP/1.1\r\nHost: a\r\nBlindbox-Key: %s\r\n\r\n", clinicKey)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	text, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == 200 && string(text) == "clinic"
}

func ask2(c net.Conn, stream uint32) bool {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, h2frame(frameHeaders, endStream|endHeaders, stream, asked(methodGet, "/caller"))); err != nil {
		return false
	}
	good := false
	err := answers(c, func(kind byte, on uint32, payload []byte) bool {
		// 8 is ":status: 200" in the static table (RFC 7541, appendix A).
		good = on == stream && kind == frameHeaders && len(payload) > 0 && payload[0] == 0x88
		return good
	})
	return err == nil && good
}

// together calls do for each of n, a few at a time, and returns how often it was true.
func together(n int, do func(i int) bool) int64 {
	var next, good atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if do(int(i)) {
					good.Add(1)
				}
			}
		})
	}
	all.Wait()
	return good.Load()
}

// openFiles lets this process have so many open.
func openFiles(t *testing.T, n uint64) {
	t.Helper()
	var have syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &have); err != nil {
		t.Fatal(err)
	}
	if uint64(have.Cur) >= n {
		return
	}
	want := syscall.Rlimit{Cur: n, Max: max(have.Max, n)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want); err != nil {
		t.Skipf("this process may have %d files open, and %d are needed: %v", have.Max, n, err)
	}
}
