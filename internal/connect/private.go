package connect

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Place is where a proxy answers one program alone, the one that started it: a Unix
// socket in a folder that nobody else can open or, on a system whose programs have no
// such sockets, a port that answers nothing without a token.
type Place struct {
	Listener net.Listener
	Socket   string // path; "" for a port
	Token    string // "" for a socket
	folder   string
}

// ListenPrivate opens such a place. Close removes it.
func ListenPrivate(ctx context.Context) (*Place, error) {
	if runtime.GOOS == "windows" { // its Python, for one, cannot open Unix sockets
		return listenWithToken(ctx)
	}
	// The path of a socket has at most 103 bytes on some systems, and the folder for
	// temporary files may be a long way down.
	p, err := listenInFolder(ctx, os.TempDir())
	if err != nil {
		if short, again := listenInFolder(ctx, "/tmp"); again == nil {
			return short, nil
		}
	}
	return p, err
}

func listenInFolder(ctx context.Context, parent string) (*Place, error) {
	folder, err := os.MkdirTemp(parent, "blindbox-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	p := &Place{Socket: filepath.Join(folder, "s"), folder: folder}
	var lc net.ListenConfig
	if p.Listener, err = lc.Listen(ctx, "unix", p.Socket); err != nil {
		_ = os.Remove(folder)
		return nil, fmt.Errorf("connect: %w", err)
	}
	return p, nil
}

func listenWithToken(ctx context.Context) (*Place, error) {
	ln, err := Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Place{Listener: ln, Token: rand.Text()}, nil
}

// URL is the place as a base of URLs. A socket stands for any loopback name.
func (p *Place) URL() string {
	if p.Socket != "" {
		return "http://localhost"
	}
	return "http://" + p.Listener.Addr().String()
}

// Close stops listening and removes the socket and its folder.
func (p *Place) Close() error {
	err := p.Listener.Close()
	if p.folder != "" {
		_ = os.Remove(p.Socket) // which is gone if nothing went wrong
		if gone := os.Remove(p.folder); err == nil {
			err = gone
		}
	}
	return err
}

// CodeNoToken is the catalogue's number for a request without the token.
const CodeNoToken = "BBX-125"

// hasToken reports whether a request carries the token of the proxy.
func hasToken(r *http.Request, token string) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1
}

func noToken() Problem {
	return Problem{
		Title:  "the local proxy belongs to another program",
		Status: http.StatusProxyAuthRequired,
		Code:   CodeNoToken,
		Detail: "the request does not carry the proxy's token; nothing was forwarded",

		NothingSent: true,
	}
}
