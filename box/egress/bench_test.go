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

// tinyproxy starts the real peer, if it is installed.
func tinyproxy(t testing.TB) string {
	program := os.Getenv("TINYPROXY")
	if program == "" {
		var err error
		if program, err = exec.LookPath("tinyproxy"); err != nil {
			t.Skip("tinyproxy is not installed (or set TINYPROXY)")
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
			n := 1
			if ask[0] == 'B' {
				n = len(block)
			}
			for range map[bool]int{true: 64, false: 1}[ask[0] == 'B'] {
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

// BenchmarkProxy is egress beside a plain proxy and tinyproxy: bytes per second on
// one connection, round trips on one, and connections.
func BenchmarkProxy(b *testing.B) {
	o := newOutside()
	to := source(b, o)
	e := allow(destination("a.example", 25))
	p := newProxy(b, e, o)
	l := loopbackListener(b)
	go p.Serve(Listeners{Explicit: l})
	for _, peer := range []struct {
		name, target string
		start        func() string
	}{
		{"plain", to, func() string { return plainProxy(b, to) }},
		{"egress", "a.example:25", func() string { return l.Addr().String() }},
		{"tinyproxy", to, nil},
	} {
		b.Run(peer.name, func(b *testing.B) {
			start := peer.start
			if start == nil {
				start = func() string { return tinyproxy(b) }
			}
			address := start()
			b.Run("bytes", func(b *testing.B) { benchBytes(b, connectBy(b, address, peer.target)) })
			b.Run("round trips", func(b *testing.B) { benchRoundTrips(b, connectBy(b, address, peer.target)) })
			b.Run("connections", func(b *testing.B) {
				for b.Loop() {
					c := connectBy(b, address, peer.target)
					roundTrip(b, c)
					c.Close()
				}
			})
		})
	}
}

func benchBytes(b *testing.B, c net.Conn) {
	defer c.Close()
	b.SetBytes(64 << 20)
	for b.Loop() {
		c.Write([]byte("B"))
		if _, err := io.CopyN(io.Discard, c, 64<<20); err != nil {
			b.Fatal(err)
		}
	}
}

func benchRoundTrips(b *testing.B, c net.Conn) {
	defer c.Close()
	for b.Loop() {
		roundTrip(b, c)
	}
}

func roundTrip(b *testing.B, c net.Conn) {
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}
