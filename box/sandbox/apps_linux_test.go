package sandbox_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/box/sandbox/oci"
)

// TestRealApps runs programs as they are in Debian, out of the images that
// examples/apps makes, or `make test` has made with it (BLINDBOX_APPS), and speaks
// their own protocols with them.
func TestRealApps(t *testing.T) {
	runc := needs(t)
	made := os.Getenv("BLINDBOX_APPS")
	for _, program := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil && made == "" {
			t.Skip("SKIP: the images are made of Debian packages:", err)
		}
	}
	for _, app := range []struct {
		name, listen string
		files        sandbox.Files
		ask          func(net.Conn) (string, error)
		want         string
	}{
		{"nginx", "127.0.0.1:8000", sandbox.Files{Tmp: 16 << 20}, httpAsk("GET", "/", ""), "Welcome to nginx"},
		{"redis", "127.0.0.1:6379", sandbox.Files{Tmp: 1 << 20}, redisAsk, "OK 42"},
		{"postgresql", "127.0.0.1:5432", sandbox.Files{Tmp: 16 << 20, Writable: []sandbox.Writable{{Path: "/var/lib/postgresql", Size: 256 << 20}}}, postgresAsk, "42"},
		{"python", "127.0.0.1:8000", sandbox.Files{}, httpAsk("POST", "/count", "four words are here"), `{"words": 4}`},
	} {
		t.Run(app.name, func(t *testing.T) {
			t.Parallel()
			dir := inMemory(t)
			images := made
			if images == "" {
				images = dir
				cmd := exec.Command("go", "run", "./examples/apps", "-out", dir, app.name)
				cmd.Dir = filepath.Join("..", "..")
				if said, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
			}
			layout := filepath.Join(images, app.name+".oci")
			digest, err := oci.Find(layout, "linux", runtime.GOARCH, oci.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			image, root := unpacked(t, dir, layout, digest)
			running := started(t, sandbox.Config{
				Name: app.name, Listen: app.listen, Files: app.files, Limits: sandbox.Limits{Memory: 1 << 30, Pids: 128, OpenFiles: 1024},
				Image: image, Root: root, Dir: filepath.Join(dir, "runs"), Runtime: runc, Shift: shift,
				StartGrace: 2 * time.Minute, StopGrace: 10 * time.Second,
			})
			if got, err := patiently(t, running, app.ask); err != nil || !strings.Contains(got, app.want) {
				t.Errorf("it answers %q, %v, expected %q", got, err, app.want)
			}
		})
	}
}

// patiently asks again while a server says that it is starting up: PostgreSQL
// accepts connections before it answers them (SQLSTATE 57P03).
func patiently(t *testing.T, app *sandbox.App, ask func(net.Conn) (string, error)) (string, error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := app.Dial(t.Context())
		if err != nil {
			return "", err
		}
		c.SetDeadline(deadline)
		got, err := ask(c)
		c.Close()
		if err == nil || !strings.Contains(err.Error(), "57P03") || time.Now().After(deadline) {
			return got, err
		}
	}
}

func httpAsk(method, path, body string) func(net.Conn) (string, error) {
	return func(c net.Conn) (string, error) {
		req, err := http.NewRequest(method, "http://app"+path, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		if err := req.Write(c); err != nil {
			return "", err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), req)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
}

func redisAsk(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "SET answer 42\r\nGET answer\r\n"); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	var lines []string
	for range 3 {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.TrimPrefix(lines[0], "+") + " " + lines[2], nil
}

// postgresAsk speaks version 3.0 of PostgreSQL's protocol: a start, a question,
// and the first row of the answer.
func postgresAsk(c net.Conn) (string, error) {
	start := "\x00\x03\x00\x00user\x00app\x00database\x00postgres\x00\x00"
	query := "SELECT 6*7\x00"
	send := string(binary.BigEndian.AppendUint32(nil, uint32(len(start)+4))) + start +
		"Q" + string(binary.BigEndian.AppendUint32(nil, uint32(len(query)+4))) + query
	if _, err := io.WriteString(c, send); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return "", err
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return "", err
		}
		switch head[0] {
		case 'E':
			return "", fmt.Errorf("%q", body)
		case 'D': // a row: number of columns, then length and bytes of each
			return string(body[6:]), nil
		}
	}
}
