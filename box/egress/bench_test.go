package egress

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A plain CONNECT proxy, as small as one can be: what it costs to pass bytes on,
// and nothing else.
func plainProxy(t testing.TB, to string) string {
	l := loopbackListener(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 16)
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				remote, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer remote.Close()
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				go io.Copy(remote, c)
				io.Copy(c, remote)
			}()
		}
	}()
	return l.Addr().String()
}

// tinyproxy starts the real peer and returns its address; "" if it is not there.
func tinyproxy(t testing.TB) string {
	program := os.Getenv("TINYPROXY")
	if program == "" {
		var err error
		if program, err = exec.LookPath("tinyproxy"); err != nil {
			t.Log("SKIP tinyproxy: not installed, and TINYPROXY does not name it")
			return ""
		}
	}
	free := loopbackListener(t)
	address := free.Addr().(*net.TCPAddr)
	free.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "conf")
	text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nLogLevel Critical\nLogFile %q\n", address.Port, filepath.Join(dir, "log"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 200 {
		if c, err := net.Dial("tcp", address.String()); err == nil {
			c.Close()
			return address.String()
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("tinyproxy does not listen")
	return ""
}

// source is a server that sends as many bytes as it is asked for, or echoes one.
func source(t testing.TB, o *outside) string {
	o.resolves("a.example", publicA)
	block := bytes.Repeat([]byte("x"), 1<<20)
	o.serve(t, publicA+":25", func(c net.Conn) {
		for ask := make([]byte, 1); ; {
			if _, err := io.ReadFull(c, ask); err != nil {
				return
			}
			n, times := 1, 1
			if ask[0] == 1 {
				n, times = len(block), 64
			}
			for range times {
				if _, err := c.Write(block[:n]); err != nil {
					return
				}
			}
		}
	})
	return o.servers[netip.MustParseAddrPort(publicA+":25")]
}

func connectBy(b *testing.B, proxy, target string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", proxy)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(err, resp)
	}
	return c
}

// BenchmarkProxy is egress beside a plain proxy and tinyproxy. They take turns, so
// that what else the machine does is the same for all; the figures are how many
// per cent of the plain proxy's speed the others have, by the median turn.
func BenchmarkProxy(b *testing.B) {
	o := newOutside()
	to := source(b, o)
	p := newProxy(b, allow(destination("a.example", 25)), o)
	l := loopbackListener(b)
	go p.Serve(Listeners{Explicit: l})
	ways := []*way{{name: "plain", proxy: plainProxy(b, to), target: to}, {name: "egress", proxy: l.Addr().String(), target: "a.example:25"}}
	if address := tinyproxy(b); address != "" {
		ways = append(ways, &way{name: "tinyproxy", proxy: address, target: to})
	}
	b.Run("bytes", func(b *testing.B) {
		b.SetBytes(64 << 20 * int64(len(ways)))
		takeTurns(b, ways, func(b *testing.B, c net.Conn, _ *way) {
			c.Write([]byte{1})
			if _, err := io.CopyN(io.Discard, c, 64<<20); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("round trips", func(b *testing.B) {
		takeTurns(b, ways, func(b *testing.B, c net.Conn, _ *way) {
			for range 100 {
				roundTrip(b, c)
			}
		})
	})
	b.Run("connections", func(b *testing.B) {
		takeTurns(b, ways, func(b *testing.B, _ net.Conn, w *way) {
			c := connectBy(b, w.proxy, w.target)
			roundTrip(b, c)
			c.Close()
		})
	})
}

// way is one proxy.
type way struct {
	name, proxy, target string
	took                []time.Duration
}

func takeTurns(b *testing.B, ways []*way, turn func(*testing.B, net.Conn, *way)) {
	conns := make([]net.Conn, len(ways))
	for i, w := range ways {
		w.took = nil
		conns[i] = connectBy(b, w.proxy, w.target)
		defer conns[i].Close()
	}
	for b.Loop() {
		for i, w := range ways {
			start := time.Now()
			turn(b, conns[i], w)
			w.took = append(w.took, time.Since(start))
		}
	}
	median := func(w *way) float64 {
		slices.Sort(w.took)
		return float64(w.took[len(w.took)/2])
	}
	for _, w := range ways {
		b.ReportMetric(median(w)/1000, "us-"+w.name)
		b.ReportMetric(100*median(ways[0])/median(w), "%-"+w.name)
	}
}

func roundTrip(b *testing.B, c net.Conn) {
	c.Write([]byte{0})
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}
